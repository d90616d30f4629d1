import {
  boundMemory,
  createLogger,
  formatAddress,
  fs,
  onStop,
  path,
  SlabPool,
  staySmallWhenIdle,
  StartError,
} from '@openebs/replica/runtime';
import type { ControlServer, Logger } from '@openebs/replica/runtime';
import { ConditionLog } from './condition-log.ts';
import { startTargetControl } from './control.ts';
import type { TargetFacts } from './facts.ts';
import type { IscsiServer, IscsiServerSettings, ListenPortal } from './iscsi/index.ts';
import { createIscsiServer } from './iscsi/index.ts';
import { LIMITS } from './limits.ts';
import { createTargetMetrics, observeTarget } from './metrics.ts';
import { createNullVolume } from './null-volume.ts';
import { parseTargetOptions, type TargetOptions } from './options.ts';
import { nodeEnvironment, Replicator, Scrub, type VolumeStatistics } from './replicator/index.ts';
import { createDeviceServer } from './scsi/index.ts';
import { SettingsError, SettingsKeeper, type Settings, type SettingsChange } from './settings.ts';
import { VolumeError, type Volume } from './volume.ts';

const EXIT_CANNOT_START = 1;
const EXIT_FENCED = 4;
const LOGOUT_GRACE_MS = 3_000;

const { version } = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, '..', 'package.json'), 'utf8'),
) as { readonly version: string };

const openReplicator = (
  options: TargetOptions,
  logger: Logger,
  statistics: VolumeStatistics,
  pool: SlabPool,
): Replicator | null => {
  const { volume, volumeId, sizeBytes, replicas, holdMs, graceMs } = options;
  if (replicas.length === 0) return null;
  const environment = nodeEnvironment({
    volumeId,
    targetName: volume,
    sizeBytes,
    pool,
    log: (level, fields, message) => logger[level](fields, message),
  });
  return new Replicator({
    volumeId,
    sizeBytes,
    replicas,
    environment,
    statistics,
    pool,
    holdMs,
    graceMs,
  });
};

/**
 * Resolves when login may be possible; rejects never: a volume that waits says so over the control
 * API.
 */
const untilReady = (replicator: Replicator): Promise<void> =>
  new Promise((resolve) => {
    replicator.onChange((change) => {
      if (change === 'ready') resolve();
    });
    replicator.start();
  });

const openPortals = async (
  options: TargetOptions,
  volume: Volume,
  settings: Settings,
  logger: Logger,
  pool: SlabPool,
): Promise<{ server: IscsiServer; portals: readonly ListenPortal[] }> => {
  const { iqn } = options;
  const device = await createDeviceServer({
    volume,
    iqn,
    productRevision: version.replaceAll('.', '').padEnd(4, '0').slice(0, 4),
    log: logger,
  });
  const server = createIscsiServer({
    targetName: iqn,
    targetAlias: options.volume,
    listen: options.listen.map(({ host, port }) => ({ host, port, portalGroupTag: 1 })),
    device,
    pool,
    log: logger,
    ...serverSettings(settings),
  });
  return { server, portals: await server.listen() };
};

const serverSettings = ({ chap, portals }: Settings): IscsiServerSettings => ({
  authentication:
    chap === null ? { kind: 'none' } : { kind: 'chap', settings: chap, discovery: true },
  portals: portals.map((address) => ({ address, portalGroupTag: 1 })),
});

/** What was said at the start counts more than what the volume keeps. */
const givenSettings = ({
  chap,
  portals,
  rebuildBytesPerSecond,
}: TargetOptions): SettingsChange => ({
  ...(chap === null ? {} : { chap }),
  ...(portals.length === 0 ? {} : { portals }),
  ...(rebuildBytesPerSecond === null ? {} : { rebuildBytesPerSecond }),
});

const limitRebuilds = (replicator: Replicator | null, settings: Settings): void => {
  if (replicator === null) return;
  const { pace } = replicator.assembly.resync;
  pace.limitBytesPerSecond = settings.rebuildBytesPerSecond ?? Infinity;
};

const scrubOf = (host: Replicator, { scrubBytesPerSecond }: TargetOptions): Scrub =>
  new Scrub({ host, wallNow: Date.now, bytesPerSecond: scrubBytesPerSecond });

const formatPortal = ({ host, port }: ListenPortal): string =>
  formatAddress({ kind: 'tcp', host, port });

const run = async (options: TargetOptions): Promise<void> => {
  const logger = createLogger({ name: 'target', level: options.logLevel });
  const { registry, statistics } = createTargetMetrics(options.volume);
  const pool = new SlabPool(LIMITS.pooledBytes);
  const replicator = openReplicator(options, logger, statistics, pool);
  const scrub = replicator === null ? null : scrubOf(replicator, options);
  let server: IscsiServer | null = null;
  let portals: readonly ListenPortal[] = [];
  let stopping = false;
  const volume = replicator ?? createNullVolume(options.sizeBytes, options.volumeId);
  const settings = new SettingsKeeper(volume, (next) => {
    server?.use(serverSettings(next));
    limitRebuilds(replicator, next);
  });
  const facts: TargetFacts = {
    volume: options.volume,
    volumeId: options.volumeId,
    iqn: options.iqn,
    sizeBytes: () => replicator?.sizeBytes ?? options.sizeBytes,
    version,
    statistics,
    replicator,
    scrub,
    settings,
    portals: () => portals.map(formatPortal),
    server: () => server,
    stopping: () => stopping,
  };
  const log = new ConditionLog(facts, Date.now);
  replicator?.onCondition(() => log.note());
  observeTarget(registry, facts, log);
  const control = await startTargetControl({
    address: options.control,
    token: options.controlToken,
    logger,
    metrics: registry,
    facts,
    log,
  });
  const stop = async (reason: string): Promise<void> => {
    stopping = true;
    logger.info({ reason }, 'stopping');
    scrub?.stop();
    await server?.close(LOGOUT_GRACE_MS);
    await replicator?.close();
    await control.close();
    logger.info('stopped');
  };
  onStop((reason) => {
    stop(reason).then(
      () => process.exit(0),
      (error: unknown) => {
        logger.fatal({ err: error }, 'the target did not stop in order');
        process.exit(EXIT_CANNOT_START);
      },
    );
  }, EXIT_CANNOT_START);
  replicator?.onChange((change) => {
    if (change === 'fenced') endFenced(logger, server, options.fencedMs);
  });
  if (replicator !== null) await untilReady(replicator);
  scrub?.start();
  try {
    const { firstChap } = options;
    const first = firstChap === null ? {} : { chap: firstChap };
    const restored = await settings.restore(givenSettings(options), first);
    limitRebuilds(replicator, restored);
    ({ server, portals } = await openPortals(options, volume, restored, logger, pool));
  } catch (error) {
    await replicator?.close();
    throw error;
  }
  log.note();
  sayReady(logger, facts, control);
};

/** Another target has the volume: initiators must find it, and not an answer of ours. */
const endFenced = (logger: Logger, server: IscsiServer | null, afterMs: number): void => {
  logger.fatal('another target serves the volume; this one drops its initiators and ends');
  server?.dropAll('another target serves the volume');
  if (afterMs > 0) void server?.close(0);
  setTimeout(() => process.exit(EXIT_FENCED), afterMs);
};

const sayReady = (logger: Logger, facts: TargetFacts, control: ControlServer): void => {
  const portals = facts.portals();
  logger.info(
    {
      portal: portals[0],
      portals,
      control: formatAddress(control.address),
      iqn: facts.iqn,
      epoch: facts.replicator?.assembly.epoch ?? 0,
      version,
    },
    'ready',
  );
  // Now, not at the end: the next start is quick and small also after kill -9.
  process.getBuiltinModule('node:module').flushCompileCache();
  staySmallWhenIdle(() => facts.server()?.counters.commands ?? 0);
};

const describe = (error: unknown): string | null => {
  if (error instanceof StartError) return `${error.code}: ${error.message}`;
  if (error instanceof SettingsError) return `SETTINGS: ${error.message}`;
  if (error instanceof VolumeError)
    return `NOT_READY: ${error.message}; it starts when a majority of the replicas is there`;
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return `ADDRESS_IN_USE: cannot open the portal: ${message}; stop the other process or choose another --listen (port 0 takes a free one)`;
    case 'EACCES':
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `ADDRESS_UNKNOWN: cannot open the portal: ${message}; choose another --listen`;
    default:
      return null;
  }
};

boundMemory();
try {
  await run(parseTargetOptions(version));
} catch (error) {
  const text = describe(error);
  if (text === null) throw error;
  process.stderr.write(`target: ${text}\n`);
  process.exit(EXIT_CANNOT_START);
}
