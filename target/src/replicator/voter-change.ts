import { DocumentError } from './documents.ts';
import type { DocumentKeeper } from './document-keeper.ts';
import { MemberError } from './member-error.ts';

interface Change {
  readonly voters: string;
  carried: boolean;
  readonly settle: () => void;
}

const RETRY_MS = 1_000;

/** Lets the voters change only when the documents have gone along. */
export class VoterChange {
  readonly #documents: DocumentKeeper;
  readonly #changed: () => void;
  readonly #after: (delayMs: number, callback: () => void) => void;
  #current: Change | null = null;

  constructor({
    documents,
    changed,
    after,
  }: {
    readonly documents: DocumentKeeper;
    /** A record may be proposed now. */
    readonly changed: () => void;
    readonly after: (delayMs: number, callback: () => void) => void;
  }) {
    this.#documents = documents;
    this.#changed = changed;
    this.#after = after;
  }

  /** Whether a record with these voters may be proposed; `changed` tells when it may. */
  isPrepared(voters: readonly string[]): boolean {
    const wanted = [...voters].sort().join();
    if (this.#current?.voters === wanted) return this.#current.carried;
    this.settled();
    let settle = (): void => undefined;
    const settled = new Promise<void>((resolve) => (settle = resolve));
    const current: Change = { voters: wanted, carried: false, settle };
    this.#current = current;
    this.#documents.carryTo(voters, settled).then(
      () => {
        if (this.#current !== current) return;
        current.carried = true;
        this.#changed();
      },
      (error: unknown) => {
        if (this.#current !== current) return;
        if (error instanceof DocumentError || error instanceof MemberError) {
          this.#after(RETRY_MS, () => {
            if (this.#current !== current) return;
            this.settled();
            this.#changed();
          });
          return;
        }
        // A programming error: end the process rather than go on in an unknown state.
        queueMicrotask(() => {
          throw error;
        });
      },
    );
    return false;
  }

  /** A record decided about it, or nobody wants it any more. */
  settled(): void {
    this.#current?.settle();
    this.#current = null;
  }
}
