/**
 * Holds the persistent reservations of the unit. A change that must survive a loss of power is
 * durable on the replicas before it takes effect and before it is answered; changes go one after
 * the other.
 */
import type { Volume } from '../volume.ts';
import { decodeReservations, encodeReservations } from './reservation-document.ts';
import { NO_RESERVATIONS, type ReservationState, type ReservationStep } from './reservations.ts';

const DOCUMENT = 'reservations';

interface Change {
  readonly step: (state: ReservationState) => ReservationStep;
  /** `failure` is why the change could not be made durable; the step has then not taken effect. */
  readonly done: (step: ReservationStep, failure: unknown) => void;
}

export class ReservationKeeper {
  state: ReservationState = NO_RESERVATIONS;
  readonly #volume: Volume;
  readonly #changes: Change[] = [];
  #writing = false;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  async restore(): Promise<void> {
    const content = await this.#volume.readDocument(DOCUMENT);
    if (content !== null) this.state = decodeReservations(content);
  }

  change(step: Change['step'], done: Change['done']): void {
    this.#changes.push({ step, done });
    this.#advance();
  }

  #advance(): void {
    while (!this.#writing) {
      const change = this.#changes.shift();
      if (change === undefined) return;
      const step = change.step(this.state);
      if (step.kind === 'done' && this.#mustBeKept(step.state)) {
        this.#writing = true;
        this.#volume.writeDocument(DOCUMENT, encodeReservations(step.state)).then(
          () => this.#written(change, step, null),
          (failure: unknown) => this.#written(change, step, failure),
        );
        return;
      }
      if (step.kind === 'done') this.state = step.state;
      change.done(step, null);
    }
  }

  #written(change: Change, step: ReservationStep, failure: unknown): void {
    this.#writing = false;
    if (failure === null && step.kind === 'done') this.state = step.state;
    change.done(step, failure);
    this.#advance();
  }

  /** SPC-4 5.12.5: while APTPL is in force, and once more when it is switched off. */
  #mustBeKept(next: ReservationState): boolean {
    if (next === this.state) return false;
    return next.persistent || this.state.persistent;
  }
}
