import type { RequestFailure } from './link.ts';
import type { Member } from './member.ts';
import type { FlushOperation } from './operations.ts';
import type { Stream } from './stream.ts';

/** Flushes under way: each ends when every member that writes have to wait for has flushed. */
export class Flushes {
  readonly #stream: Stream;
  readonly #required: () => readonly Member[];
  readonly #underWay = new Set<FlushOperation>();

  constructor(stream: Stream, required: () => readonly Member[]) {
    this.#stream = stream;
    this.#required = required;
  }

  begin(operation: FlushOperation): void {
    // What was submitted before goes out before. Flushes of one turn go out together, so that a
    // replica makes one fdatasync for them.
    this.#stream.sendGathered();
    this.#underWay.add(operation);
    const required = this.#required();
    for (const member of required) operation.waitingFor.add(member);
    for (const member of required) {
      if (!member.streaming) continue;
      member.flush((failure) => this.#answered(operation, member, failure));
    }
    this.#stream.scheduleTurn();
    this.#check(operation);
  }

  /** Who left is not waited for: the record without it is durable. */
  requiredChanged(): void {
    const required = this.#required();
    for (const flush of this.#underWay) {
      for (const member of flush.waitingFor) {
        if (!required.includes(member)) flush.waitingFor.delete(member);
      }
      this.#check(flush);
    }
  }

  /** All that are under way, which are so no more. */
  takeAll(): FlushOperation[] {
    const all = [...this.#underWay];
    this.#underWay.clear();
    for (const flush of all) flush.waitingFor.clear();
    return all;
  }

  #answered(operation: FlushOperation, member: Member, failure: RequestFailure | null): void {
    if (!this.#underWay.has(operation)) return;
    if (failure === null) {
      operation.waitingFor.delete(member);
      this.#check(operation);
    } else if (failure.code !== 'LINK_CLOSED') {
      // Whether its data are durable is not known any more. It leaves the set, and the flush then
      // waits for the others only.
      member.drop(`flush failed: ${failure.message} (${failure.code})`);
    }
  }

  #check(operation: FlushOperation): void {
    if (operation.waitingFor.size > 0 || !this.#stream.completes) return;
    if (this.#underWay.delete(operation)) operation.finish(null);
  }
}
