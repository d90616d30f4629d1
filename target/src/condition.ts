import type { TargetFacts } from './facts.ts';
import { majorityOf, type Member, type Replicator } from './replicator/index.ts';

export type VolumeState = 'healthy' | 'degraded' | 'unavailable' | 'starting';

/**
 * What an initiator gets: everything; reads only, writes are refused; an answer later; or nothing
 * (no portal yet, or NOT READY).
 */
export type Access = 'read-write' | 'read-only' | 'waiting' | 'none';

type ConditionFacts = Pick<TargetFacts, 'replicator' | 'server' | 'stopping'>;

export const volumeState = ({ replicator, server }: ConditionFacts): VolumeState => {
  if (server() === null) return 'starting';
  if (replicator === null) return 'healthy';
  if (!replicator.assembly.hasServed) return 'starting';
  if (!replicator.isOpen || !replicator.ready || replicator.isFull) return 'unavailable';
  return missingMembers(replicator).length === 0 ? 'healthy' : 'degraded';
};

export const volumeAccess = ({ replicator, server, stopping }: ConditionFacts): Access => {
  if (server() === null || stopping()) return 'none';
  if (replicator === null) return 'read-write';
  if (replicator.isOpen) return replicator.isFull ? 'read-only' : 'read-write';
  return replicator.ready ? 'waiting' : 'none';
};

/** Why the volume is not healthy, in words; null when it is. */
export const reasonOf = ({ replicator, stopping }: ConditionFacts): string | null => {
  if (stopping()) return 'the target stops';
  if (replicator === null) return null;
  const { assembly } = replicator;
  if (assembly.phase === 'fenced') return 'another target serves the volume';
  const missing = missingMembers(replicator).map((member) => absenceOf(replicator, member));
  if (replicator.isFull) {
    return ['the last in-sync replica has no space: reads go on, writes fail', ...missing].join(
      '; ',
    );
  }
  if (!replicator.isOpen) return [`waiting for ${assembly.waitingFor}`, ...missing].join('; ');
  return missing.length === 0 ? null : missing.join('; ');
};

/** What happens next by itself, or what somebody has to do; null when the volume is healthy. */
export const nextOf = (facts: ConditionFacts, heldUntil: Date | null): string | null => {
  const { replicator, stopping } = facts;
  if (stopping()) return 'it ends when what is under way is done; initiators log in again';
  if (replicator === null) return null;
  const { assembly } = replicator;
  if (assembly.phase === 'fenced') return 'this target ends; initiators log in to the other one';
  if (replicator.isFull) {
    return 'free space on the file system of that replica; writes are tried again every 10 s';
  }
  const returns = [...new Set(missingMembers(replicator).map((m) => returnOf(replicator, m)))];
  const all = returns.filter((each) => each !== null);
  if (!replicator.isOpen) return [answerUntilOpen(facts, heldUntil), ...all].join('; ');
  return all.length === 0 ? null : [spareText(replicator), ...all].join('; ');
};

/** Members that do not hold every acknowledged write, or do not vote. */
const missingMembers = ({ assembly }: Replicator): readonly Member[] =>
  assembly.members.filter((member) => assembly.modeOf(member) !== 'in-sync');

/** Nobody is out of step before the volume has served: then it matters who is not connected. */
const absenceOf = ({ assembly }: Replicator, member: Member): string => {
  const { address, lastError } = member;
  const resync = assembly.resyncOf(member);
  if (resync !== null) return `${address} is resynchronised (${resync.percent} %)`;
  if (member.voting && assembly.phase !== 'serving') return `${address} is connected`;
  const why = lastError ?? (member.voting ? 'it waits for its turn' : 'not connected yet');
  return `${address} is ${assembly.modeOf(member)}: ${why}`;
};

const returnOf = (replicator: Replicator, member: Member): string | null => {
  const { assembly } = replicator;
  const resync = assembly.resyncOf(member);
  if (resync !== null) {
    const eta = resync.etaSeconds(replicator.now());
    return `${member.address} is in sync ${eta === null ? 'when that is done' : `in about ${eta} s`}`;
  }
  if (!member.voting) {
    return 'replicas that are offline are dialled again every few seconds, and get what they missed when they answer';
  }
  if (assembly.phase !== 'serving') return null;
  return member.resting
    ? `free space on the file system of ${member.address}; it is tried again every 15 s`
    : `${member.address} gets what it missed when its turn comes`;
};

/** How much more may fail. */
const spareText = ({ assembly }: Replicator): string => {
  const { members, record } = assembly;
  const voters = record?.voters ?? [];
  const present = members.filter(({ id, voting }) => voting && voters.includes(id)).length;
  const copies = members.filter(({ inSync }) => inSync).length;
  const spare = Math.min(present - majorityOf(voters), copies - 1);
  return spare > 0 ? 'reads and writes go on' : 'reads and writes go on until one more is lost';
};

const answerUntilOpen = (
  { server, replicator }: ConditionFacts,
  heldUntil: Date | null,
): string => {
  if (server() === null || replicator?.assembly.hasServed !== true) {
    return 'the portal opens by itself when they are there';
  }
  const until = heldUntil === null ? '' : ` until ${heldUntil.toISOString().slice(0, 19)}Z`;
  return replicator.ready
    ? `I/O is held${until}, then answered NOT READY; it goes on by itself when enough replicas answer`
    : 'I/O is answered NOT READY; it goes on by itself when enough replicas answer';
};
