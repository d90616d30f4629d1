import type { MemberRecord, VolumeRecord } from './record.ts';
import type { TargetStatus } from './target-status.ts';

/** What has to happen so that a volume becomes what its record says. */
export interface Orders {
  /** The list to give to the target; null where it has it and it is in force. */
  readonly replicas: readonly string[] | null;
  readonly sizeBytes: number | null;
  /** Members that vote no more, as the target knows: when it has confirmed it, they can go. */
  readonly gone: readonly MemberRecord[];
}

/** From what is and what shall be, every time anew: nothing is remembered in between. */
export const ordersFor = (
  record: Pick<VolumeRecord, 'members' | 'sizeBytes'>,
  status: TargetStatus,
  addressOf: (member: MemberRecord) => string,
): Orders => {
  const wanted = record.members.filter(({ leaving }) => leaving !== true);
  const addresses = wanted.map(addressOf);
  const known = status.replicas.map(({ address }) => address);
  // A target that does not serve yet says nothing of voters.
  const { voters } = status;
  const settled =
    sameSet(known, addresses) &&
    (voters === null ||
      sameSet(
        voters,
        wanted.map(({ id }) => id),
      ));
  const gone =
    voters === null
      ? []
      : record.members.filter(
          (member) =>
            member.leaving === true &&
            !voters.includes(member.id) &&
            !known.includes(addressOf(member)),
        );
  const grows = status.sizeBytes !== null && status.sizeBytes < record.sizeBytes;
  return {
    replicas: settled ? null : addresses,
    sizeBytes: grows && voters !== null ? record.sizeBytes : null,
    gone,
  };
};

const sameSet = (some: readonly unknown[], others: readonly unknown[]): boolean =>
  some.length === others.length && some.every((each) => others.includes(each));

/** The order that confirms it. */
export const DEPARTURES = '/v1/departures';
