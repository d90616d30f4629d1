/** Since when something is what it is, as far as it was looked at. */
export class StateClock {
  #state = '';
  #since = '';

  of(state: string): string {
    if (state !== this.#state) {
      this.#state = state;
      this.#since = new Date().toISOString();
    }
    return this.#since;
  }
}
