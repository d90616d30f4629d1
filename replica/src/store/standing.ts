import type { Epoch, Version } from '../protocol/types.ts';
import type { ExtentPage } from './extent-page.ts';

/** What a version says of itself: of a page, or of what is seen below the head. */
export interface Versioned {
  readonly unknown: boolean;
  readonly unverified: boolean;
  readonly provisional: boolean;
  readonly version: Version;
}

/**
 * Decides which versions count, so that two replicas which tell the same version of an extent hold
 * the same bytes.
 *
 *   opened --promise--> provisional --record that names this replica--> member
 *                           ^-------------promise, record without it------'
 *
 * A provisional store may have missed writes that were made before it came; an extent that missed
 * one and gets the next would carry the same version as its source. So versions given meanwhile are
 * marked, and count only once a record says that the copy is whole.
 */
export class Standing {
  #member = false;
  /** Null until a target was promised something since the store was opened. */
  #promise: Epoch | null = null;
  /** By epoch: provisional versions up to this sequence number count. */
  readonly #confirmed = new Map<number, number>();

  constructor(confirmed: readonly Version[]) {
    for (const version of confirmed) this.#confirmed.set(version.epoch, version.seq);
  }

  promised(promisedEpoch: Epoch): void {
    this.#promise = promisedEpoch;
    this.#member = false;
  }

  /**
   * A record of this epoch names the replica, everything up to `appliedSeq` is applied. False when
   * another epoch is promised.
   */
  joined(recordEpoch: Epoch, appliedSeq: number): boolean {
    if (this.#promise !== recordEpoch) return false;
    this.#member = true;
    this.#confirmed.set(recordEpoch, appliedSeq);
    return true;
  }

  left(): void {
    this.#member = false;
  }

  /** Whether the page's version may be told. */
  isKnown(page: Versioned): boolean {
    if (page.unknown || page.unverified) return false;
    return !page.provisional || this.#isConfirmed(page.version);
  }

  /** The extent was changed by the operation of this version. */
  advance(page: ExtentPage, version: Version): void {
    if (page.unknown || page.unverified) {
      // What the extent held before is unknown, so what it holds now is.
      if (!page.unknown) page.setUnknown();
      return;
    }
    if (page.provisional) {
      const before = page.version;
      // A version of an earlier epoch that nobody confirmed is worth nothing.
      if (before.epoch !== version.epoch && !this.#isConfirmed(before)) {
        page.setUnknown();
        return;
      }
    }
    page.setVersion(version, !this.#member);
  }

  #isConfirmed(version: Version): boolean {
    const upTo = this.#confirmed.get(version.epoch);
    return upTo !== undefined && version.seq <= upTo;
  }
}
