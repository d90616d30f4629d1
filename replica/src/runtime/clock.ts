/** Time as a daemon sees it; a simulation brings its own. */
export interface Clock {
  /** Monotonic. Milliseconds, with fractions. */
  now(): number;
  /** Calls back once, after at least `delayMs`; the returned function takes it back. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
