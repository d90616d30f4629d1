import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from '../support/debian.ts';
import { runTool, tryTool, type ToolResult } from '../support/tool.ts';
import { until } from '../support/until.ts';

const START_MS = 60_000;
const BUILD_MS = 900_000;

/** Docker's daemon for a test alone: its own directory and socket, and no network at all. */
export class DockerEngine {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    const at = (name: string): string => join(directory, name);
    const log = openSync(at('log'), 'a');
    const folders = ['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('pid')];
    const network = ['--bridge=none', '--iptables=false', '--ip6tables=false'];
    const args = [...folders, ...network, '--host', this.#host];
    this.#process = spawn(findCommand('dockerd') ?? 'dockerd', args, {
      stdio: ['ignore', log, log],
    });
  }

  /** Rejects with what the daemon said where it can't run. */
  static async start(directory: string): Promise<DockerEngine> {
    const engine = new DockerEngine(directory);
    const answers = async (): Promise<boolean> => {
      if (engine.#process.exitCode !== null)
        throw new Error(readFileSync(join(directory, 'log'), 'utf8').slice(-2000));
      return (await tryTool('docker', ['--host', engine.#host, 'version'])).code === 0;
    };
    await until('an answer of dockerd', answers, START_MS);
    return engine;
  }

  docker(args: readonly string[]): Promise<ToolResult> {
    return runTool('docker', ['--host', this.#host, ...args], { timeoutMs: BUILD_MS });
  }

  /** A base image out of a directory, with lines of a Dockerfile as ENV. */
  async import(root: string, reference: string, changes: readonly string[]): Promise<void> {
    const archive = join(this.#directory, 'base.tar');
    const owner = ['--owner=0', '--group=0', '--numeric-owner'];
    await runTool('tar', [...owner, '-C', root, '-cf', archive, '.'], { timeoutMs: BUILD_MS });
    const options = changes.flatMap((change) => ['--change', change]);
    await this.docker(['import', ...options, archive, reference]);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    await ended;
  }

  get #host(): string {
    return `unix://${join(this.#directory, 'sock')}`;
  }
}
