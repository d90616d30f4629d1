import { DaemonOptions, fs, path, StartError } from './runtime/index.ts';
import { NodeDisk } from './store/node-disk.ts';

/** How long the replica that has the directory open is waited for. */
const WAIT_MS = 90_000;
const POLL_MS = 200;
const EXIT_FAILED = 1;

const VOLUME_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

const { version } = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, '..', 'package.json'), 'utf8'),
) as { readonly version: string };

const options = new DaemonOptions({
  name: 'replica-remove',
  description:
    'Removes the directory POOL/VOLUME/replica-N with all data in it, once no replica has it open.\n\n' +
    'Exit codes: 0 it is gone, 1 it could not be removed, 2 wrong command line.',
  version,
});
const pool = options.requiredFlag({
  flags: '--pool <directory>',
  description: 'The pool; it stays.',
  parse: (text) => path.resolve(text),
});
const volume = options.requiredFlag({
  flags: '--volume <name>',
  description: 'Name of the volume, which is that of its directory in the pool.',
  parse: (text) => {
    if (VOLUME_NAME.test(text)) return text;
    throw new RangeError(`"${text}" is no name of a volume: lower-case letters, digits, hyphens.`);
  },
});
const replica = options.requiredFlag({
  flags: '--replica <number>',
  description: 'Which copy.',
  parse: (text) => {
    if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
    throw new RangeError(`"${text}" is no number of a copy; write 1 or more.`);
  },
});

const remove = async (): Promise<void> => {
  const own = path.join(pool(), volume());
  const directory = path.join(own, `replica-${replica()}`);
  const data = path.join(directory, 'data');
  if (fs.existsSync(data)) {
    const disk = new NodeDisk(data);
    for (const end = performance.now() + WAIT_MS; ;) {
      const lock = disk.lock();
      if (lock.held) break;
      if (performance.now() > end) {
        throw new StartError(
          'ADDRESS_IN_USE',
          `Process ${lock.holder} has ${data} open. Stop that replica first.`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
  fs.rmSync(directory, { recursive: true, force: true });
  try {
    fs.rmdirSync(own);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another copy is there still, or somebody was faster.
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT') throw error;
  }
};

options.parse();
try {
  await remove();
  process.exit(0);
} catch (error) {
  process.stderr.write(`replica-remove: ${(error as Error).message}\n`);
  process.exit(EXIT_FAILED);
}
