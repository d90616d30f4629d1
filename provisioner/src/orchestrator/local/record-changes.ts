import { randomUUID } from 'node:crypto';
import { MAX_REPLICAS } from '../../limits.ts';
import { Problem } from '../../problem.ts';
import { formatSize } from '../../size.ts';
import type { VolumeChange, VolumeEventKind, VolumeView } from '../orchestrator.ts';
import type { MemberRecord, VolumeRecord } from './record.ts';
import type { SettingChange } from './target-settings.ts';

/**
 * What a volume shall be, changed. Each function gives the record that is made durable before
 * anything is done; a member that shall leave stays in it, marked, until the target has said that
 * it votes no more.
 */
export const withReplica = (record: VolumeRecord): VolumeRecord => {
  const copies = wantedCopies(record.members).length;
  if (copies >= MAX_REPLICAS) {
    throw new Problem('replica-refused', `a volume has at most ${MAX_REPLICAS} replicas`, {
      next: `remove one first: mayactl replica remove ${record.name} REPLICA`,
    });
  }
  const added = { id: randomUUID(), index: freeIndex(record.members), role: 'data' } as const;
  return next(record, [...record.members, added]);
};

/** `id`: of a replica that stays no longer than until the others hold everything without it. */
export const withoutReplica = (record: VolumeRecord, id: string): VolumeRecord => {
  const member = record.members.find((each) => each.id === id);
  if (member?.role !== 'data') {
    throw new Problem('replica-refused', 'a witness comes and goes with the number of replicas', {
      next: `mayactl replica list ${record.name}`,
    });
  }
  if (wantedCopies(record.members).every((each) => each.id === id)) {
    throw new Problem('replica-refused', 'it is the last replica: the data would go with it', {
      next: `add another one first: mayactl replica add ${record.name}`,
    });
  }
  if (member.leaving === true) return record;
  return next(record, leave(record.members, id));
};

export const withSize = (record: VolumeRecord, sizeBytes: number): VolumeRecord => {
  if (sizeBytes < record.sizeBytes) {
    throw new Problem(
      'size-invalid',
      `the volume has ${formatSize(record.sizeBytes)} and cannot shrink: what lies beyond would be lost`,
      { next: 'make a smaller volume and copy what it shall hold' },
    );
  }
  if (sizeBytes === record.sizeBytes) return record;
  return { ...record, sizeBytes, generation: record.generation + 1 };
};

/** It has left: its process has ended, its data is gone. */
export const withoutMember = (record: VolumeRecord, id: string): VolumeRecord => ({
  ...record,
  members: record.members.filter((member) => member.id !== id),
});

/** Which replica is meant by an index, `replica-2` or an id. */
export const findReplica = (
  record: Pick<VolumeRecord, 'name' | 'members'>,
  text: string,
): MemberRecord => {
  const found = record.members.find(
    ({ id, index, role }) =>
      id === text ||
      String(index) === text ||
      (role === 'witness' ? 'witness' : `replica-${index}`) === text,
  );
  if (found !== undefined) return found;
  throw new Problem('replica-not-found', `volume ${record.name} has no replica ${text}`, {
    next: `mayactl replica list ${record.name}`,
  });
};

export type RecordChange = Exclude<VolumeChange, SettingChange>;

export const changedRecord = (record: VolumeRecord, change: RecordChange): VolumeRecord => {
  switch (change.kind) {
    case 'resize':
      return withSize(record, change.sizeBytes);
    case 'add-replica':
      return withReplica(record);
    case 'remove-replica':
      return withoutReplica(record, findReplica(record, change.replica).id);
  }
};

/** Whoever has everything must not be only the one that leaves. */
export const requireCopies = (view: VolumeView, replica: string): void => {
  const { id } = findReplica({ name: view.name, members: view.replicas }, replica);
  const others = view.replicas.filter(
    (each) => each.id !== id && each.role === 'data' && !each.leaving && each.mode === 'in-sync',
  );
  if (others.length > 0) return;
  throw new Problem('replica-refused', 'no other replica holds everything', {
    next: `wait until one is in sync: mayactl volume info ${view.name} --watch`,
  });
};

/** What a change is called in the log of events. */
export const changeEvent = (
  before: VolumeRecord,
  after: VolumeRecord,
): readonly [VolumeEventKind, string] => {
  if (after.sizeBytes !== before.sizeBytes) {
    return [
      'resized',
      `shall have ${formatSize(after.sizeBytes)}, had ${formatSize(before.sizeBytes)}`,
    ];
  }
  const added = after.members.find(
    ({ id, role }) => role === 'data' && before.members.every((each) => each.id !== id),
  );
  if (added !== undefined) return ['replica-added', `replica-${added.index} is added`];
  const left = after.members.find(
    ({ id, role, leaving }) =>
      role === 'data' &&
      leaving === true &&
      before.members.find((each) => each.id === id)?.leaving !== true,
  );
  return ['replica-removed', `replica-${left?.index ?? 0} shall leave`];
};

const wantedCopies = (members: readonly MemberRecord[]): readonly MemberRecord[] =>
  members.filter(({ role, leaving }) => role === 'data' && leaving !== true);

const leave = (members: readonly MemberRecord[], id: string): MemberRecord[] =>
  members.map((member) => (member.id === id ? { ...member, leaving: true } : member));

const freeIndex = (members: readonly MemberRecord[]): number => {
  let index = 1;
  while (members.some((member) => member.index === index)) index++;
  return index;
};

const next = (record: VolumeRecord, members: readonly MemberRecord[]): VolumeRecord => ({
  ...record,
  members: withWitness(members),
  generation: record.generation + 1,
});

/** An even number of voters cannot outvote the loss of half of them: then a witness votes too. */
const withWitness = (members: readonly MemberRecord[]): readonly MemberRecord[] => {
  const witness = members.find(({ role }) => role === 'witness');
  if (wantedCopies(members).length % 2 === 1) {
    return witness === undefined ? members : leave(members, witness.id);
  }
  if (witness === undefined) {
    return [...members, { id: randomUUID(), index: freeIndex(members), role: 'witness' }];
  }
  // One that was about to leave stays.
  const { id, index, role } = witness;
  return members.map((member) => (member.id === id ? { id, index, role } : member));
};
