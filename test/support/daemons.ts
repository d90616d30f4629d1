/**
 * Starts real daemons for tests that cross a process. Each is told to take free ports or unix
 * sockets; its ready line says which. Whatever a test leaves running is killed with the test
 * process.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const REPOSITORY = join(import.meta.dirname, '..', '..');

export interface ReadyLine {
  readonly msg: 'ready';
  /** Replica: where targets connect. */
  readonly listen?: string;
  /** Target: where initiators connect. */
  readonly portal?: string;
  readonly control: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Daemon {
  readonly child: ChildProcess;
  /** Rejects with what the daemon said when it ends before. */
  readonly ready: Promise<ReadyLine>;
  readonly exited: Promise<Exit>;
  /** All lines of standard output and standard error so far. */
  readonly log: readonly string[];
  /** SIGTERM, then waits for the end. */
  stop(): Promise<Exit>;
  /** SIGKILL, then waits for the end. */
  kill9(): Promise<Exit>;
}

/** Flags without their dashes: `{ size: '1GiB', replica: ['unix:/a', 'unix:/b'], null: true }`. */
export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Flags of Node itself, as --cpu-prof. */
  readonly nodeFlags?: readonly string[];
  /** Run as this user, where the test is root. */
  readonly uid?: number;
  /** A command that executes the daemon in its place, as `ip netns exec NAME`. */
  readonly wrapper?: readonly string[];
}

/** On a busy machine too. */
const READY_WITHIN_MS = 30_000;

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export const startDaemon = (
  main: string,
  flags: Flags,
  { env = {}, nodeFlags = [], uid, wrapper = [] }: SpawnOptions = {},
): Daemon => {
  const [file, ...args] = [
    ...wrapper,
    process.execPath,
    ...nodeFlags,
    join(REPOSITORY, main),
    ...commandLine(flags),
  ];
  const child = spawn(file!, args, {
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: join(REPOSITORY, '.cache', 'compile'),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  running.add(child);
  const log: string[] = [];
  const { promise: ready, resolve: isReady, reject: failed } = Promise.withResolvers<ReadyLine>();
  // A test that expects the end does not look at `ready`.
  ready.catch(() => undefined);
  const deadline = setTimeout(() => {
    failed(new Error(`${main} was not ready in ${READY_WITHIN_MS} ms:\n${log.join('\n')}`));
  }, READY_WITHIN_MS).unref();
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    log.push(line);
    const message = readyLine(line);
    if (message !== null) isReady(message);
  });
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  const exited = new Promise<Exit>((resolve) => {
    // 'close' comes after the last line of output.
    child.once('close', (code, signal) => {
      running.delete(child);
      clearTimeout(deadline);
      failed(
        new Error(`${main} ended (${code ?? signal}) before it was ready:\n${log.join('\n')}`),
      );
      resolve({ code, signal });
    });
  });
  const end = (signal: NodeJS.Signals) => (): Promise<Exit> => {
    child.kill(signal);
    return exited;
  };
  return { child, ready, exited, log, stop: end('SIGTERM'), kill9: end('SIGKILL') };
};

/**
 * A replica on free loopback ports unless the flags say otherwise; needs `dir`, `volume-id` and
 * `size`.
 */
export const startReplica = (flags: Flags, options?: SpawnOptions): Daemon =>
  startDaemon(
    'replica/src/main.ts',
    { listen: '127.0.0.1:0', control: '127.0.0.1:0', ...flags },
    options,
  );

/** A target on free loopback ports unless the flags say otherwise. */
export const startTarget = (flags: Flags, options?: SpawnOptions): Daemon =>
  startDaemon(
    'target/src/main.ts',
    { listen: '127.0.0.1:0', control: '127.0.0.1:0', ...flags },
    options,
  );

/** A directory of the test's own, short enough for unix sockets in it. */
export const temporaryDirectory = (): { readonly path: string; remove(): void } => {
  const path = mkdtempSync(join(tmpdir(), 'openebs-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
};

const commandLine = (flags: Flags): string[] =>
  Object.entries(flags).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    if (value === true) return [`--${name}`];
    const values = typeof value === 'string' ? [value] : value;
    return values.flatMap((each) => [`--${name}`, each]);
  });

const readyLine = (line: string): ReadyLine | null => {
  if (!line.startsWith('{')) return null;
  try {
    const message = JSON.parse(line) as { msg?: unknown };
    return message.msg === 'ready' ? (message as ReadyLine) : null;
  } catch {
    return null;
  }
};
