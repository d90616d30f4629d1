import type { Address, LogLevel } from '@openebs/replica/runtime';
import {
  DaemonOptions,
  LOG_LEVELS,
  oneOf,
  parseAddress,
  parseSize,
  readSecretFile,
} from '@openebs/replica/runtime';
import { BLOCK_BYTES, isUuid, MAX_VOLUME_BYTES } from '@openebs/replica/protocol';
import { chapSettings } from './chap-settings.ts';
import type { ChapSettings } from './iscsi/index.ts';
import { parseReplicaAddress } from './replicator/index.ts';
import { chapParts } from './settings.ts';

export interface TargetOptions {
  readonly volume: string;
  readonly volumeId: string;
  readonly sizeBytes: number;
  /** Empty with the null store. */
  readonly replicas: readonly string[];
  readonly iqn: string;
  readonly listen: readonly HostPort[];
  /** host:port as SendTargets tells it; empty: what the volume's settings say. */
  readonly portals: readonly string[];
  readonly control: Address;
  readonly controlToken: string | null;
  /** Null: what the volume's settings say. */
  readonly chap: ChapSettings | null;
  /** Counts until the replicas keep settings of the volume's own. */
  readonly firstChap: ChapSettings | null;
  readonly holdMs: number;
  readonly graceMs: number;
  readonly fencedMs: number;
  /** Of the volume, while a scrub reads it. */
  readonly scrubBytesPerSecond: number;
  /** Null: what the volume's settings say. */
  readonly rebuildBytesPerSecond: number | null;
  readonly logLevel: LogLevel;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const DEFAULT_HOLD_SECONDS = 30;
const DEFAULT_GRACE_SECONDS = 5;
const DEFAULT_SCRUB_BYTES_PER_SECOND = 64 * 1024 * 1024;
/** RFC 3720 3.2.6.3.1: an iqn is at most 223 bytes of these characters. */
const IQN_PATTERN = /^iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(?::[a-z0-9.:-]+)?$/;

/** Reads the command line; wrong usage ends the process. */
export const parseTargetOptions = (version: string): TargetOptions => {
  const options = new DaemonOptions({
    name: 'target',
    description:
      'Serves one volume over iSCSI and keeps all its replicas the same.\n\n' +
      'The portal opens when the volume can be used; until then /v1/status of the control API says what it waits for.\n\n' +
      'Exit codes: 0 stopped in order, 1 cannot start, 2 wrong command line, 4 another target serves the volume.',
    version,
  });
  const volume = options.requiredFlag({
    flags: '--volume <name>',
    description: 'Name of the volume, for people, logs and metrics.',
    parse: (text) => text,
  });
  const volumeId = options.requiredFlag({
    flags: '--volume-id <uuid>',
    description: 'Identity of the volume; its replicas have the same.',
    parse: parseUuid,
  });
  const size = options.requiredFlag({
    flags: '--size <size>',
    description: 'Size of the volume, bytes or with a unit as in 1GiB; its replicas have the same.',
    parse: parseVolumeSize,
  });
  const replicas = options.repeatedFlag({
    flags: '--replica <address>',
    description:
      'One replica: host:port, unix:/path, or dir:/path for a store in this process (made when the directory is empty).',
    parse: parseReplicaAddress,
  });
  const nullStore = options.switch({
    flags: '--null',
    description: 'For benchmarks only: a store that forgets everything, instead of replicas.',
  });
  const iqn = options.flag({
    flags: '--iqn <name>',
    description: 'iSCSI name of the target; iqn.2016-09.com.openebs:VOLUME when not given.',
    parse: parseIqn,
  });
  const { listen, portals } = portalFlags(options);
  const { control, controlToken } = controlFlags(options);
  const chapFlag = chapFlags(options);
  const { hold, grace, fenced } = timeFlags(options);
  const { scrubRate, rebuildRate } = rateFlags(options);
  const logLevel = options.flag<LogLevel>({
    flags: '--log-level <level>',
    description: `Least level that is logged: ${LOG_LEVELS.join(', ')}.`,
    parse: oneOf(LOG_LEVELS),
    default: { value: 'info', text: 'info' },
  });
  options.parse();
  if (nullStore() === replicas().length > 0) {
    options.fail(
      nullStore()
        ? '--null and --replica exclude each other'
        : 'name the replicas with --replica, once for each',
    );
  }
  if (new Set(replicas()).size < replicas().length) options.fail('a --replica is named twice');
  return {
    volume: volume(),
    volumeId: volumeId(),
    sizeBytes: size(),
    replicas: replicas(),
    iqn: iqn() ?? iqnOf(volume(), options),
    listen: listen(),
    portals: portals(),
    control: control(),
    controlToken: controlToken(),
    ...chapFlag(),
    holdMs: (hold() ?? DEFAULT_HOLD_SECONDS) * 1000,
    graceMs: (grace() ?? DEFAULT_GRACE_SECONDS) * 1000,
    fencedMs: (fenced() ?? 0) * 1000,
    scrubBytesPerSecond: scrubRate(),
    rebuildBytesPerSecond: rebuildRate() ?? null,
    logLevel: logLevel() ?? 'info',
  };
};

const portalFlags = (options: DaemonOptions) => {
  const listen = options.repeatedFlag({
    flags: '--listen <host:port>',
    description: 'Where initiators connect; port 0 is any free one.',
    parse: parseHostPort,
    default: { value: { host: '127.0.0.1', port: 3260 }, text: '127.0.0.1:3260' },
  });
  const portals = options.repeatedFlag({
    flags: '--portal <host:port>',
    description:
      'Address that discovery tells, where it is not the one that was dialled; the replicas keep it.',
    parse: (text) => {
      parseHostPort(text);
      return text;
    },
  });
  return { listen, portals };
};

const controlFlags = (options: DaemonOptions) => {
  const control = options.requiredFlag({
    flags: '--control <address>',
    description: 'Control API and metrics over HTTP: host:port or unix:/path.',
    parse: parseAddress,
    default: { value: parseAddress('127.0.0.1:9501'), text: '127.0.0.1:9501' },
  });
  const controlToken = options.flag({
    flags: '--control-token-file <path>',
    description:
      'File with the bearer token for orders to --control over TCP; without it there are none.',
    parse: readSecretFile,
  });
  return { control, controlToken };
};

const timeFlags = (options: DaemonOptions) => {
  const hold = options.flag({
    flags: '--hold-seconds <seconds>',
    description:
      'How long I/O is held while no majority of the replicas is there, before it is answered NOT READY.',
    parse: parseSeconds,
    default: { value: DEFAULT_HOLD_SECONDS, text: String(DEFAULT_HOLD_SECONDS) },
  });
  const grace = options.flag({
    flags: '--grace-seconds <seconds>',
    description: 'How long the start waits for replicas that were in sync and are absent.',
    parse: parseSeconds,
    default: { value: DEFAULT_GRACE_SECONDS, text: String(DEFAULT_GRACE_SECONDS) },
  });
  const fenced = options.flag({
    flags: '--fenced-seconds <seconds>',
    description:
      'How long a target that another one has replaced stays, serving nothing, before it ends: for who would start it again at once.',
    parse: parseSeconds,
    default: { value: 0, text: '0' },
  });
  return { hold, grace, fenced };
};

const rateFlags = (options: DaemonOptions) => {
  const scrubRate = options.requiredFlag({
    flags: '--scrub-rate <size>',
    description:
      'How much of the volume a scrub reads in a second, at most. It runs every 7 days, and when POST /v1/scrub asks for it.',
    parse: parseRate,
    default: { value: DEFAULT_SCRUB_BYTES_PER_SECOND, text: '64MiB' },
  });
  const rebuildRate = options.flag({
    flags: '--rebuild-rate <size>',
    description:
      'How much is copied to replicas that come back in a second, at most; the replicas keep it. Where there is no limit as much as goes while no initiator does anything, and less, so that they hardly suffer, while they do.',
    parse: parseRate,
  });
  return { scrubRate, rebuildRate };
};

const chapFlags = (options: DaemonOptions): (() => Pick<TargetOptions, 'chap' | 'firstChap'>) => {
  const text = (value: string): string => value;
  const user = options.flag({
    flags: '--chap-user <name>',
    description:
      'Initiators prove that they know this user. The replicas keep it and the secrets for every target to come; without it what they keep counts.',
    parse: text,
  });
  const secret = options.flag({
    flags: '--chap-secret-file <path>',
    description: 'File with the secret of --chap-user, at least 12 bytes.',
    parse: readSecretFile,
  });
  const mutualUser = options.flag({
    flags: '--mutual-chap-user <name>',
    description: 'The target proves itself as this user to initiators that ask.',
    parse: text,
  });
  const mutualSecret = options.flag({
    flags: '--mutual-chap-secret-file <path>',
    description: 'File with the secret of --mutual-chap-user, different from the other one.',
    parse: readSecretFile,
  });
  const first = firstChapFlag(options);
  return () => {
    const chap = chapSettings({
      user: user(),
      secret: secret(),
      mutualUser: mutualUser(),
      mutualSecret: mutualSecret(),
    });
    if (typeof chap === 'string') return options.fail(chap);
    const firstChap = first();
    if (chap !== null && firstChap !== null) {
      options.fail('--chap-user and --first-chap-file exclude each other');
    }
    return { chap, firstChap };
  };
};

const firstChapFlag = (options: DaemonOptions): (() => ChapSettings | null) =>
  options.flag({
    flags: '--first-chap-file <path>',
    description:
      'File with {"user", "secret", "mutualUser", "mutualSecret"} in JSON (the last two may be missing): who may log in to a new volume, until an order to --control says otherwise. What the replicas keep counts more.',
    parse: readFirstChap,
  });

const readFirstChap = (path: string): ChapSettings => {
  const parts = chapParts(parsedJson(readSecretFile(path)));
  const chap = parts === null ? null : chapSettings(parts);
  if (chap === null) {
    throw new RangeError(`${path} holds no {"user", "secret", "mutualUser", "mutualSecret"}.`);
  }
  if (typeof chap === 'string') throw new RangeError(`${path}: ${chap}.`);
  return chap;
};

/** The error would quote the text. */
const parsedJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

const parseUuid = (text: string): string => {
  const uuid = text.toLowerCase();
  if (isUuid(uuid)) return uuid;
  throw new RangeError(
    `"${text}" is no UUID; write it as 8-4-4-4-12 hexadecimal digits (uuidgen makes one).`,
  );
};

const parseVolumeSize = (text: string): number => {
  const bytes = parseSize(text);
  if (bytes > 0 && bytes % BLOCK_BYTES === 0 && bytes <= MAX_VOLUME_BYTES) return bytes;
  throw new RangeError('A volume has between 4 KiB and 64 TiB, in whole blocks of 4 KiB.');
};

const parseRate = (text: string): number => {
  const bytes = parseSize(text);
  if (bytes > 0) return bytes;
  throw new RangeError('A rate is at least one byte in a second.');
};

const parseIqn = (text: string): string => {
  if (IQN_PATTERN.test(text) && text.length <= 223) return text;
  throw new RangeError(
    `"${text}" is no iSCSI name; write it as iqn.2016-09.com.openebs:NAME, in lower case.`,
  );
};

const iqnOf = (volume: string, options: DaemonOptions): string => {
  const name = `iqn.2016-09.com.openebs:${volume.toLowerCase()}`;
  if (IQN_PATTERN.test(name) && name.length <= 223) return name;
  return options.fail(
    `"${volume}" cannot be the end of an iSCSI name, which has letters, digits, ".", ":" and ` +
      '"-" only; name the volume otherwise, or give --iqn',
  );
};

const parseHostPort = (text: string): HostPort => {
  const address = parseAddress(text);
  if (address.kind === 'tcp') return { host: address.host, port: address.port };
  throw new RangeError('Initiators connect over TCP: write host:port.');
};

const parseSeconds = (text: string): number => {
  const seconds = Number(text);
  if (text.trim() !== '' && Number.isFinite(seconds) && seconds >= 0 && seconds <= 86_400) {
    return seconds;
  }
  throw new RangeError('Seconds from 0 to 86400.');
};
