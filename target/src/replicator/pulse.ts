import type { WelcomeState } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';

/** When one member was last known to be with this target, for the read leases. */
export class Pulse {
  #promiseSentMs = 0;
  /** When the latest request, promise or ping, was sent that it has answered in this session. */
  heardMs = -Infinity;
  /** Until when targets before this one may answer reads, as far as this replica knows. */
  leaseEndsMs = Infinity;

  promiseSent(nowMs: number): void {
    this.#promiseSentMs = nowMs;
  }

  promised({ record, leaseRemainingMs }: WelcomeState, nowMs: number): void {
    this.heardMs = this.#promiseSentMs;
    // Who has lost its memory may have granted as much as anybody.
    const remainingMs = record === null ? REPLICATOR_LIMITS.grantedLeaseMs : leaseRemainingMs;
    this.leaseEndsMs = nowMs + remainingMs;
  }

  /** Its connection has ended: what it has answered there says nothing any more. */
  lost(): void {
    this.heardMs = -Infinity;
    this.leaseEndsMs = Infinity;
  }
}
