import type { VolumeEvent, VolumeStatus } from '../orchestrator.ts';
import { memberName } from '../local/record.ts';
import type { VolumePhase, VolumeResource } from './volume-resource.ts';

const STATUSES: Readonly<Record<VolumePhase, VolumeStatus>> = {
  Pending: 'starting',
  Healthy: 'healthy',
  Degraded: 'degraded',
  Unavailable: 'unavailable',
  Deleting: 'deleting',
};

/** What has happened to a volume between two versions of its record. */
export const recordEvents = (
  before: VolumeResource | null,
  after: VolumeResource | null,
): VolumeEvent[] => {
  const record = after ?? before;
  if (record === null) return [];
  const volume = record.metadata.name;
  const phase = record.status?.phase;
  const status = phase === undefined ? null : STATUSES[phase];
  const event = (
    kind: VolumeEvent['kind'],
    message: string,
    severity: VolumeEvent['severity'] = 'info',
  ): VolumeEvent => ({ kind, severity, volume, message, status });
  if (after === null) return [event('deleted', 'deleted with its data')];
  const { size, replicas, members } = after.spec;
  if (before === null) return [event('created', `created, ${size}, ${replicas} replicas`)];
  const events: VolumeEvent[] = [];
  if (before.spec.size !== size) {
    events.push(event('resized', `shall have ${size}, had ${before.spec.size}`));
  }
  for (const member of members) {
    if (before.spec.members.some(({ id }) => id === member.id)) continue;
    const words = `${memberName(member)} is added on ${member.node}`;
    events.push(event('replica-added', words));
  }
  for (const member of before.spec.members) {
    if (members.some(({ id }) => id === member.id)) continue;
    const words = `${memberName(member)} has left, its data is removed`;
    events.push(event('replica-removed', words));
  }
  if (before.status?.phase !== phase && phase !== undefined) {
    const words = after.status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '';
    const isGood = phase === 'Healthy' || phase === 'Pending';
    const message = `${STATUSES[phase]}${words === '' ? '' : `: ${words}`}`;
    events.push(event('status', message, isGood ? 'info' : 'warning'));
  }
  return events;
};
