import { Problem, type ProblemCode } from '../../problem.ts';
import type { VolumeChange } from '../orchestrator.ts';
import { controlSend, type ControlPlace } from './control-client.ts';

/** What the replicas keep, so that it is in no record. */
export type SettingChange = Extract<VolumeChange, { kind: 'chap' | 'rebuild-rate' }>;

export function isSetting(change: VolumeChange): change is SettingChange {
  return change.kind === 'chap' || change.kind === 'rebuild-rate';
}

/** A target that serves has it durable on its replicas when this resolves. Throws Problem. */
export async function sendSetting(
  volume: string,
  place: ControlPlace,
  change: SettingChange,
): Promise<void> {
  const [invalid, body] = orderOf(change);
  const answer = await controlSend(place, 'PUT', '/v1/settings', { body }).catch(() => null);
  if (answer?.status === 200) return;
  const { detail } = (answer === null ? {} : JSON.parse(answer.body)) as { detail?: string };
  const why = detail ?? 'the target did not answer; it may have done it or not';
  throw new Problem(answer?.status === 400 ? invalid : 'volume-not-ready', why, {
    next: `look, and try again: mayactl volume info ${volume}`,
  });
}

function orderOf(change: SettingChange): [ProblemCode, object] {
  switch (change.kind) {
    case 'chap':
      return ['chap-invalid', { chap: change.chap }];
    case 'rebuild-rate':
      return ['bad-request', { rebuildBytesPerSecond: change.bytesPerSecond }];
  }
}
