/** `npm start` and `mayactl` as a person runs them, in a data directory of the test's own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openDisk, type Disk } from '../initiator/disk.ts';
import { REPOSITORY } from '../support/daemons.ts';

const START = join(REPOSITORY, 'provisioner/bin/start.js');
const NODE_COMPILE_CACHE = join(REPOSITORY, '.cache', 'compile');
const MAYACTL = join(REPOSITORY, 'provisioner/bin/mayactl.js');

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the API and `mayactl -o json` say of a volume, as far as tests look at it. */
export interface Volume {
  readonly name: string;
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly size: number;
  readonly status: string;
  readonly reason: string | null;
  readonly replicaCount: number;
  readonly inSyncCount: number;
  readonly source: { readonly volume: string; readonly snapshot: string } | null;
  readonly replicas: readonly {
    readonly role: string;
    readonly mode: string;
    readonly directory: string;
  }[];
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('OPENEBS_'));
  return { ...Object.fromEntries(inherited), NO_COLOR: '1', NODE_COMPILE_CACHE };
}

async function run(
  file: string,
  args: readonly string[],
  options: { uid?: number; input?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const { uid, input, env = {} } = options;
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...environment(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  running.delete(child);
  return { code, stdout, stderr };
}

/** A start that is expected to end by itself. */
export const tryStart = (
  args: readonly string[],
  options: { uid?: number; env?: Readonly<Record<string, string>> } = {},
) => run(START, args, options);

/** `mayactl` without a system. */
export const mayactl = (args: readonly string[], options: { uid?: number } = {}) =>
  run(MAYACTL, args, options);

export class LocalSystem {
  readonly directory: string;
  readonly child: ChildProcess;
  #output = '';

  private constructor(directory: string, child: ChildProcess) {
    this.directory = directory;
    this.child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.stdout?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
  }

  static launch(directory: string, args: readonly string[] = []): LocalSystem {
    const ports = ['--api-port', '0', '--iscsi-port', '0'];
    const child = spawn(process.execPath, [START, '--data-dir', directory, ...ports, ...args], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new LocalSystem(directory, child);
  }

  /** Resolves when the first screen is there. */
  static async start(directory: string, args: readonly string[] = []): Promise<LocalSystem> {
    const system = LocalSystem.launch(directory, args);
    await system.started();
    return system;
  }

  started(): Promise<void> {
    return this.saying(/Ctrl-C stops everything/);
  }

  /** Everything printed so far. */
  get output(): string {
    return this.#output;
  }

  async saying(words: RegExp, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!words.test(this.#output)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended without saying ${String(words)}:\n${this.#output}`);
      }
      if (performance.now() > deadline) {
        throw new Error(`it did not say ${String(words)}:\n${this.#output}`);
      }
      await delay(20);
    }
  }

  mayactl(...args: string[]): Promise<Outcome> {
    return run(MAYACTL, ['--data-dir', this.directory, ...args]);
  }

  async volume(name: string): Promise<Volume> {
    const { code, stdout, stderr } = await this.mayactl('volume', 'info', name, '-o', 'json');
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Volume;
  }

  async volumeBeing(name: string, status: string, timeoutMs = 60_000): Promise<Volume> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const volume = await this.volume(name);
      if (volume.status === status) return volume;
      if (performance.now() > deadline) {
        throw new Error(`${name} is ${volume.status} (${volume.reason ?? ''}), not ${status}`);
      }
      await delay(50);
    }
  }

  async disk(name: string): Promise<Disk> {
    const { portal, iqn } = await this.volume(name);
    const [host = '', port = ''] = portal.split(':');
    return openDisk({ host, port: Number(port), targetName: iqn });
  }

  /** Of the API server, with the token of its directory. */
  async api(
    path: string,
    options: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const { apiUrl } = JSON.parse(readFileSync(join(this.directory, 'server.json'), 'utf8')) as {
      apiUrl: string;
    };
    const token = readFileSync(join(this.directory, 'token'), 'utf8').trim();
    const { method = 'GET', body, headers = {} } = options;
    return fetch(`${apiUrl}${path}`, {
      method,
      headers: {
        ...headers,
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** Process ids of the daemons, by name as `demo.target`, `demo.replica-1`. */
  daemons(): ReadonlyMap<string, number> {
    const run_ = join(this.directory, 'run');
    if (!existsSync(run_)) return new Map();
    return new Map(
      readdirSync(run_).map((file) => {
        const { pid } = JSON.parse(readFileSync(join(run_, file), 'utf8')) as { pid: number };
        return [file.replace(/\.json$/, ''), pid];
      }),
    );
  }

  kill9(daemon: string): void {
    const pid = this.daemons().get(daemon);
    if (pid === undefined) throw new Error(`no ${daemon} runs`);
    process.kill(pid, 'SIGKILL');
  }

  /** The supervisor first, so that it cannot start anything again. */
  async kill9All(): Promise<void> {
    const pids = [...this.daemons().values()];
    await this.kill9Supervisor();
    for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    while (pids.some(isAlive)) await delay(10);
  }

  async kill9Supervisor(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  /** Ctrl-C; gives the exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const gone = once(this.child, 'exit') as Promise<[number | null]>;
    this.child.kill('SIGINT');
    return (await gone)[0];
  }
}

/** A zombie that its parent has not waited for counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}
