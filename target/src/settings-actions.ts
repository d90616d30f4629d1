import { ControlProblem, parseAddress, type ControlAction } from '@openebs/replica/runtime';
import { chapSettings } from './chap-settings.ts';
import type { ChapSettings } from './iscsi/index.ts';
import { CONTROL_LIMITS } from './limits.ts';
import {
  chapParts,
  describeSettings,
  isRate,
  type SettingsChange,
  type SettingsKeeper,
} from './settings.ts';
import { VolumeError } from './volume.ts';

/**
 * PUT /v1/settings `{chap?: null | {user, secret, mutualUser?, mutualSecret?}, portals?:
 * ["host:port"], rebuildBytesPerSecond?: null | number}`; what is left out stays. Answers without
 * the secrets.
 */
export const settingsActions = (
  keeper: SettingsKeeper,
): Readonly<Record<string, ControlAction>> => ({
  'PUT /v1/settings': async (body) => {
    const change = changeOf(body);
    if (keeper.settings === null) {
      throw notReady('the volume does not serve yet, and its settings are not known');
    }
    try {
      return describeSettings(await keeper.change(change));
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      throw notReady(`whether the replicas keep it is not known (${error.message}); send it again`);
    }
  },
});

const NAMES: ReadonlySet<string> = new Set(['chap', 'portals', 'rebuildBytesPerSecond']);

const changeOf = (body: unknown): SettingsChange => {
  if (typeof body !== 'object' || body === null) throw invalid('send a JSON object');
  const fields = body as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(fields).find((name) => !NAMES.has(name));
  if (unknown !== undefined) throw invalid(`there is no setting ${unknown}`);
  const rate = fields['rebuildBytesPerSecond'];
  return {
    ...(fields['chap'] === undefined ? {} : { chap: chapOf(fields['chap']) }),
    ...(fields['portals'] === undefined ? {} : { portals: portalsOf(fields['portals']) }),
    ...(rate === undefined ? {} : { rebuildBytesPerSecond: rateOf(rate) }),
  };
};

const rateOf = (value: unknown): number | null => {
  if (isRate(value)) return value;
  throw invalid('"rebuildBytesPerSecond" is a whole number above 0, or null for no limit');
};

const chapOf = (value: unknown): ChapSettings | null => {
  if (value === null) return null;
  const parts = chapParts(value);
  if (parts === null) throw invalid('"chap" is null or {user, secret, mutualUser, mutualSecret}');
  const chap = chapSettings(parts);
  if (typeof chap === 'string') throw invalid(chap);
  return chap;
};

const portalsOf = (value: unknown): string[] => {
  if (!Array.isArray(value) || value.length > CONTROL_LIMITS.portals) {
    throw invalid(`"portals" is a list of at most ${CONTROL_LIMITS.portals} addresses`);
  }
  return value.map((each: unknown) => {
    if (typeof each !== 'string' || !isPortal(each)) throw invalid('a portal is host:port');
    return each;
  });
};

const isPortal = (text: string): boolean => {
  try {
    return parseAddress(text).kind === 'tcp';
  } catch {
    return false;
  }
};

const invalid = (detail: string): ControlProblem => new ControlProblem(400, 'Bad request', detail);

const notReady = (detail: string): ControlProblem =>
  new ControlProblem(503, 'The volume is not ready', detail);
