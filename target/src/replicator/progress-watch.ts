import { FRESH_WATCH, watchStep, type Watch } from './member-state.ts';

/** Acknowledgements of the stream, answers to reads, answers to everything else. */
export type Work = 'stream' | 'reads' | 'requests';

const KINDS: readonly Work[] = ['stream', 'reads', 'requests'];

/**
 * Whether a member still does its work. Each kind has to move by itself: a flush that hangs is not
 * excused by reads that are answered meanwhile.
 */
export class ProgressWatch {
  readonly #progress: Record<Work, number> = { stream: 0, reads: 0, requests: 0 };
  readonly #watches: Record<Work, Watch> = {
    stream: FRESH_WATCH,
    reads: FRESH_WATCH,
    requests: FRESH_WATCH,
  };

  moved(kind: Work): void {
    this.#progress[kind]++;
  }

  reset(): void {
    for (const kind of KINDS) {
      this.#progress[kind] = 0;
      this.#watches[kind] = FRESH_WATCH;
    }
  }

  /** Once a second, with what is under way. Returns what is wrong, or null. */
  step(busy: Readonly<Record<Work, boolean>>, pingUnanswered: boolean): string | null {
    for (const kind of KINDS) {
      const { watch, failed } = watchStep(this.#watches[kind], {
        busy: busy[kind],
        progress: this.#progress[kind],
        pingUnanswered,
      });
      this.#watches[kind] = watch;
      if (failed !== null) return failed;
    }
    return null;
  }
}
