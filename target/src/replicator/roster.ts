import type { MembershipRecord } from '@openebs/replica/protocol';
import type { Member } from './member.ts';
import type { RecordHistory } from './record-history.ts';

/** What was asked for would lose data or the majority; the message says what to do instead. */
export class ChangeRefused extends Error {
  override readonly name = 'ChangeRefused';
}

export interface RosterOptions {
  readonly addresses: readonly string[];
  readonly volumeId: string;
  readonly make: (address: string, index: number) => Member;
}

/**
 * Whom the target talks to: the addresses that it was given, and members that are to leave and have
 * not yet. Whether somebody belongs to the volume is not decided here but by the records.
 */
export class Roster {
  readonly #volumeId: string;
  readonly #make: RosterOptions['make'];
  #members: readonly Member[];
  #wanted: ReadonlySet<string>;
  #declared = false;
  readonly #emptied = new Set<string>();
  readonly #endings = new Set<Promise<void>>();

  constructor({ addresses, volumeId, make }: RosterOptions) {
    this.#volumeId = volumeId;
    this.#make = make;
    this.#members = addresses.map(make);
    this.#wanted = new Set(addresses);
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  isWanted(member: Member): boolean {
    return this.#wanted.has(member.address);
  }

  /** Throws ChangeRefused where the volume could not go on with only these. */
  check(addresses: readonly string[], { voters }: MembershipRecord): void {
    const kept = this.#members.filter(({ address }) => addresses.includes(address));
    if (!kept.some((member) => member.inSync)) {
      throw new ChangeRefused(
        'none of these replicas holds everything that was acknowledged; add the new ones first, and remove the others when the new ones are in sync',
      );
    }
    const gone = this.#members.filter(({ address }) => !addresses.includes(address));
    const left = voters.filter((voter) => gone.every(({ id }) => id !== voter));
    const present = kept.filter(({ id, voting }) => voting && voters.includes(id)).length;
    // Who comes new comes before others go.
    const strangers = addresses.length - kept.filter(({ id }) => voters.includes(id)).length;
    const needed = Math.floor((left.length + strangers) / 2) + 1;
    if (present + strangers < needed) {
      throw new ChangeRefused(
        `of the ${left.length + strangers} voters that there would be ${needed} must be connected, ${present + strangers} are; wait until they are, or name the ones that are`,
      );
    }
  }

  /**
   * These and nobody else shall be members from now on. Until this was said once, a list may be
   * incomplete by mistake: nobody is removed and no stranger admitted.
   */
  declare(addresses: readonly string[]): void {
    this.#declared = true;
    this.#wanted = new Set(addresses);
    for (const address of addresses) {
      if (this.#members.some((member) => member.address === address)) continue;
      const member = this.#make(address, this.#freeIndex());
      this.#members = [...this.#members, member];
      member.start();
    }
  }

  /** What speaks against talking to the one that was just greeted; null: nothing. */
  problemOf(member: Member): string | null {
    const { identity } = member;
    if (identity === null) return null;
    if (identity.volumeId !== this.#volumeId) {
      return `${member.address} belongs to volume ${identity.volumeId}, not to ${this.#volumeId}; correct the list of replicas`;
    }
    const twin = this.#members.find(
      (other) =>
        other !== member && other.id === identity.replicaId && other.state.kind !== 'offline',
    );
    if (twin === undefined) return null;
    // The replica has moved to another address.
    if (this.isWanted(member) && !this.isWanted(twin)) {
      this.#remove(twin, 'has another address now');
      return null;
    }
    return `${member.address} and ${twin.address} are the same replica ${identity.replicaId}; name each replica once`;
  }

  /**
   * Whether a connected stranger may become a voter: the list of those who are wanted is complete,
   * or it was one before.
   */
  isAdmissible(member: Member): boolean {
    const remembers = (member.known?.record ?? null) !== null;
    return this.isWanted(member) && (this.#declared || remembers || this.#emptied.has(member.id));
  }

  /** It was a voter and has lost its memory. */
  noteEmptied(id: string): void {
    this.#emptied.add(id);
  }

  /**
   * Voters that nobody wants any more. Who comes in place of them comes first, so it takes until
   * everybody who is wanted has said who he is, and strangers on their way have arrived.
   */
  leavers(history: RecordHistory): string[] {
    if (!this.#declared) return [];
    const wanted = this.#members.filter((member) => this.isWanted(member));
    const waits = wanted.some(
      ({ id, voting }) => id === '' || (voting && !history.inForce.voters.includes(id)),
    );
    if (waits) return [];
    const ids = new Set(wanted.map(({ id }) => id));
    return history.inForce.voters.filter((id) => !ids.has(id));
  }

  /** Ends the connections to those that no record names any more. */
  dismiss(history: RecordHistory): void {
    for (const member of this.#members) {
      if (this.isWanted(member) || history.isVoter(member.id)) continue;
      this.#remove(member, 'is no member of the volume any more');
    }
  }

  async stop(orderly: boolean): Promise<void> {
    await Promise.all([...this.#members.map((member) => member.stop(orderly)), ...this.#endings]);
  }

  #remove(member: Member, reason: string): void {
    this.#members = this.#members.filter((each) => each !== member);
    member.drop(reason, true);
    const ending = member.stop(true).finally(() => this.#endings.delete(ending));
    this.#endings.add(ending);
  }

  /** The lowest that is free: reads remember bad copies in the bits of a number. */
  #freeIndex(): number {
    const taken = new Set(this.#members.map(({ index }) => index));
    let index = 0;
    while (taken.has(index)) index++;
    return index;
  }
}
