import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Member } from './member.ts';

/**
 * A member that is filled flushes now and then, while the copying goes on. Otherwise all would be
 * left for the last flush: initiators wait for that one, and a disk that needs longer for it than a
 * member may be silent would never get to its end.
 */
export class MemberFlushes {
  readonly #member: Member;
  #unflushedBytes = 0;
  #underWay: Promise<void> | null = null;

  constructor(member: Member) {
    this.#member = member;
  }

  /** Resolves at once, or when the flush before has ended where the next one is due. */
  async copied(bytes: number): Promise<void> {
    this.#unflushedBytes += bytes;
    while (this.#unflushedBytes >= REPLICATOR_LIMITS.rebuildFlushBytes) {
      if (this.#underWay === null) this.#begin();
      else await this.#underWay;
    }
  }

  /** Resolves when everything is durable. */
  async end(): Promise<void> {
    await this.#underWay;
    if (this.#unflushedBytes === 0) return;
    this.#begin();
    await this.#underWay;
  }

  #begin(): void {
    this.#unflushedBytes = 0;
    const flush = this.#member.flushed().finally(() => {
      this.#underWay = null;
    });
    // Whoever waits for it sees the error; nobody may.
    flush.catch(() => undefined);
    this.#underWay = flush;
  }
}
