/** A PostgreSQL server of the test's own, as the user that Debian's package made for it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, globSync, mkdirSync } from 'node:fs';
import { until } from '../support/until.ts';

const USER = 'postgres';
const PROGRAM_MS = 120_000;
/** Recovery after a crash, on a machine that does other things too. */
const START_MS = 60_000;

export interface ProgramResult {
  readonly code: number | null;
  readonly output: string;
}

export class PostgresServer {
  readonly #directory: string;
  readonly #sockets: string;
  readonly #programs: string;
  readonly #uid = numberOf('-u');
  readonly #gid = numberOf('-g');
  #server: ChildProcess | null = null;

  /** Its data lie in `directory`, which is made; its socket in `sockets`. */
  constructor(directory: string, sockets: string) {
    this.#directory = directory;
    this.#sockets = sockets;
    this.#programs = globSync('/usr/lib/postgresql/*/bin').sort().at(-1) ?? '';
    this.own(sockets);
  }

  /** A directory that the server may write to. */
  own(directory: string): void {
    mkdirSync(directory, { recursive: true });
    chownSync(directory, this.#uid, this.#gid);
  }

  /** Makes an empty database cluster with checksums in its pages. */
  async initialise(): Promise<void> {
    this.own(this.#directory);
    await this.mustRun('initdb', ['--data-checksums', '--auth=trust', '-D', this.#directory]);
  }

  async start(): Promise<void> {
    const server = spawn(
      `${this.#programs}/postgres`,
      ['-D', this.#directory, '-k', this.#sockets, '-h', ''],
      // A group of its own: all processes of the server die at once.
      { uid: this.#uid, gid: this.#gid, detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#server = server;
    const log: string[] = [];
    server.stderr.on('data', (chunk: Buffer) => log.push(chunk.toString()));
    const isReady = async (): Promise<boolean> => {
      if (server.exitCode !== null) throw new Error(`PostgreSQL ended:\n${log.join('')}`);
      return (await this.run('pg_isready', [...this.#where()])).code === 0;
    };
    await until('PostgreSQL takes connections', isReady, START_MS);
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    await this.#end('SIGINT');
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** The rows of one statement, their columns as text with | between. */
  async query(statement: string): Promise<string[]> {
    const words = ['-X', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', statement];
    const output = await this.mustRun('psql', [...this.#where(), ...words]);
    return output.split('\n').filter((line) => line !== '');
  }

  /** pgbench against it; `args` without where it is. */
  async bench(args: readonly string[], cwd: string): Promise<ProgramResult> {
    return await this.run('pgbench', [...this.#where(), ...args], cwd);
  }

  async mustRun(program: string, args: readonly string[]): Promise<string> {
    const { code, output } = await this.run(program, args);
    if (code !== 0) throw new Error(`${program} ended with ${code ?? 'a signal'}:\n${output}`);
    return output;
  }

  async run(program: string, args: readonly string[], cwd = '/'): Promise<ProgramResult> {
    const child = spawn(`${this.#programs}/${program}`, args, {
      cwd,
      uid: this.#uid,
      gid: this.#gid,
      env: { LC_ALL: 'C', PGDATABASE: 'postgres' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PROGRAM_MS,
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output: Buffer.concat(output).toString() };
  }

  #where(): readonly string[] {
    return ['-h', this.#sockets, '-U', USER];
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server?.pid === undefined || server.exitCode !== null) return;
    const ended = once(server, 'exit');
    process.kill(signal === 'SIGKILL' ? -server.pid : server.pid, signal);
    await ended;
  }
}

const numberOf = (flag: '-u' | '-g'): number =>
  Number(spawnSync('id', [flag, USER], { encoding: 'utf8' }).stdout);
