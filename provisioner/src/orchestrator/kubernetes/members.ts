import { randomUUID } from 'node:crypto';
import type { VolumeMember, VolumeResource } from './volume-resource.ts';

/** Those that shall be members; the others go. */
export const wantedMembers = ({ spec }: VolumeResource): readonly VolumeMember[] =>
  spec.members.filter(({ state }) => state === undefined);

/** Those that have a process: one that leaves may still be needed for a majority. */
export const runningMembers = ({ spec }: VolumeResource): readonly VolumeMember[] =>
  spec.members.filter(({ state }) => state !== 'Departed');

export const majorityOf = (voters: number): number => Math.floor(voters / 2) + 1;

/** Two copies survive the loss of one only if somebody else votes. */
export const needsWitness = (replicas: number): boolean => replicas % 2 === 0;

const freeIndex = (members: readonly VolumeMember[]): number => {
  let index = 1;
  while (members.some((member) => member.index === index)) index++;
  return index;
};

/** As it will be with one more. */
export const withMember = (
  members: readonly VolumeMember[],
  role: VolumeMember['role'],
  node: string,
): readonly VolumeMember[] => [
  ...members,
  { id: randomUUID(), index: freeIndex(members), role, node },
];

export const withState = (
  members: readonly VolumeMember[],
  id: string,
  state: NonNullable<VolumeMember['state']>,
): readonly VolumeMember[] =>
  members.map((member) => (member.id === id ? { ...member, state } : member));
