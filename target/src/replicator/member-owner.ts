import type { Epoch } from '@openebs/replica/protocol';
import type { RequestFailure } from './link.ts';
import type { MemberState } from './member-state.ts';
import type { Member } from './member.ts';

/** Who decides what a member's news mean. Every call is the consequence of one event. */
export interface MemberOwner {
  memberGreeted(member: Member): void;
  memberPromised(member: Member): void;
  memberAcknowledged(member: Member): void;
  /** It has given a sign of life: `heardMs` has changed. */
  memberHeard(): void;
  /** Its stream is over; the link is still open. */
  memberStreamFailed(member: Member, failure: RequestFailure): void;
  memberFenced(member: Member, promisedEpoch: Epoch): void;
  /** It is offline now and was in `from` before. `again`: for the reason of the last time. */
  memberLost(member: Member, from: MemberState, again: boolean): void;
}
