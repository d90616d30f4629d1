import type { Address, LogLevel } from './runtime/index.ts';
import {
  boundMemory,
  createLogger,
  crypto,
  DaemonOptions,
  formatAddress,
  fs,
  LOG_LEVELS,
  oneOf,
  parseAddress,
  parseSize,
  path,
  staySmallWhenIdle,
  StartError,
  onStop,
} from './runtime/index.ts';
import { checkCommand } from './check-command.ts';
import { cloneCommand, parseUuid } from './clone-command.ts';
import { startReplicaControl } from './control.ts';
import type { ReplicaRole } from './protocol/index.ts';
import { ReplicaMetrics, ReplicaServer } from './server/index.ts';
import type { Store } from './store/index.ts';
import { openStore, StoreError } from './store/index.ts';

/** Exit codes; 2 is a wrong command line. */
const EXIT_CANNOT_START = 1;
const EXIT_STORE_FAILED = 3;

interface ReplicaOptions {
  readonly directory: string;
  readonly volumeId: string;
  readonly replicaId: string | null;
  readonly sizeBytes: number;
  readonly role: ReplicaRole;
  readonly listen: Address;
  readonly control: Address;
  readonly logLevel: LogLevel;
}

const { version } = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, '..', 'package.json'), 'utf8'),
) as { readonly version: string };

const parseOptions = (): ReplicaOptions => {
  const options = new DaemonOptions({
    name: 'replica',
    description:
      'Keeps one copy of one volume in a directory and serves it to the target.\n\n' +
      'replica check DIRECTORY verifies one that does not run (replica check --help).\n' +
      'replica clone makes one from a snapshot of another (replica clone --help).\n\n' +
      'Exit codes: 0 stopped in order, 1 cannot start, 2 wrong command line, 3 the store failed.',
    version,
  });
  const directory = options.requiredFlag({
    flags: '--dir <directory>',
    description: 'Directory of this copy; made when it does not exist.',
    parse: (text) => path.resolve(text),
  });
  const volumeId = options.requiredFlag({
    flags: '--volume-id <uuid>',
    description: 'Volume that this is a copy of.',
    parse: parseUuid,
  });
  const replicaId = options.flag({
    flags: '--replica-id <uuid>',
    description:
      'Identity of this copy. Without it a new directory gets a random one and an existing one ' +
      'keeps its own.',
    parse: parseUuid,
  });
  const sizeBytes = options.requiredFlag({
    flags: '--size <size>',
    description: 'Size of the volume, bytes or with a unit as in 1GiB.',
    parse: parseSize,
  });
  const role = options.flag<ReplicaRole>({
    flags: '--role <role>',
    description: '"data" keeps blocks, "witness" only votes.',
    parse: oneOf(['data', 'witness']),
    default: { value: 'data', text: 'data' },
  });
  const listen = options.requiredFlag({
    flags: '--listen <address>',
    description: 'Where targets connect: host:port, [IPv6]:port or unix:/path; port 0 is any free.',
    parse: parseAddress,
    default: { value: parseAddress('127.0.0.1:9503'), text: '127.0.0.1:9503' },
  });
  const control = options.requiredFlag({
    flags: '--control <address>',
    description: 'Control API and metrics over HTTP: an address like that of --listen.',
    parse: parseAddress,
    default: { value: parseAddress('127.0.0.1:9502'), text: '127.0.0.1:9502' },
  });
  const logLevel = options.flag<LogLevel>({
    flags: '--log-level <level>',
    description: `Least level that is logged: ${LOG_LEVELS.join(', ')}.`,
    parse: oneOf(LOG_LEVELS),
    default: { value: 'info', text: 'info' },
  });
  options.parse();
  return {
    directory: directory(),
    volumeId: volumeId(),
    replicaId: replicaId(),
    sizeBytes: sizeBytes(),
    role: role() ?? 'data',
    listen: listen(),
    control: control(),
    logLevel: logLevel() ?? 'info',
  };
};

/** The store of the directory, which must be the copy that was asked for. */
const open = async (options: ReplicaOptions, warn: (message: string) => void): Promise<Store> => {
  const { directory, volumeId, replicaId, role, sizeBytes } = options;
  const store = await openStore({
    directory,
    warn,
    create: { volumeId, replicaId: replicaId ?? crypto.randomUUID(), role, sizeBytes },
  });
  const found = store.identity.replicaId;
  if (replicaId === null || replicaId === found) return store;
  await store.close();
  throw new StoreError(
    'WRONG_VOLUME',
    `${directory} holds replica ${found}, not ${replicaId}; give this replica a directory of ` +
      'its own, or leave out --replica-id',
  );
};

const run = async (options: ReplicaOptions): Promise<void> => {
  const logger = createLogger({ name: 'replica', level: options.logLevel });
  const store = await open(options, (message) => logger.warn(message));
  const metrics = new ReplicaMetrics(store);
  const server = new ReplicaServer({
    store,
    logger,
    metrics,
    failed: (error) => {
      logger.fatal(
        { code: error.code },
        'the replica ends; it is opened and compared anew when it starts again',
      );
      void server.abandon(error).then(() => process.exit(EXIT_STORE_FAILED));
    },
  });
  try {
    const control = await startReplicaControl({
      address: options.control,
      logger,
      server,
      metrics,
      version,
    });
    const listen = await server.listen(options.listen);
    const stop = async (reason: string): Promise<void> => {
      logger.info({ reason }, 'stopping');
      await server.stop();
      await control.close();
      await store.close();
      logger.info('stopped');
    };
    onStop((reason) => {
      stop(reason).then(
        () => process.exit(),
        (error: unknown) => {
          logger.fatal({ err: error }, 'the store did not close in order');
          process.exit(EXIT_STORE_FAILED);
        },
      );
    }, EXIT_STORE_FAILED);
    // Now, not at the end: the next start is quick and small also after kill -9.
    process.getBuiltinModule('node:module').flushCompileCache();
    staySmallWhenIdle(() => {
      const { readOps, writeOps, unmapOps, flushes } = store.counters();
      return readOps + writeOps + unmapOps + flushes;
    });
    logger.info(
      {
        listen: formatAddress(listen),
        control: formatAddress(control.address),
        replicaId: store.identity.replicaId,
        version,
      },
      'ready',
    );
  } catch (error) {
    await store.close();
    throw error;
  }
};

if (process.argv[2] === 'check') process.exit(checkCommand(process.argv.slice(3)));
if (process.argv[2] === 'clone') {
  process.exit(await cloneCommand(process.argv.slice(3), version));
}
boundMemory();
try {
  await run(parseOptions());
} catch (error) {
  if (!(error instanceof StoreError || error instanceof StartError)) throw error;
  process.stderr.write(`replica: ${error.code}: ${error.message}\n`);
  process.exit(EXIT_CANNOT_START);
}
