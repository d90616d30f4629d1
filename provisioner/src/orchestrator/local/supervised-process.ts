import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, rmSync } from 'node:fs';
import { READY_POLL_MS, STABLE_AFTER_MS } from '../../limits.ts';
import { Backoff } from './backoff.ts';
import { controlGet } from './control-client.ts';
import { markProcess, unmarkProcess } from './leftovers.ts';
import type { CommandLine } from './daemons.ts';
import type { LogFile } from './log-file.ts';

/**
 *   stopped --start--> starting --answers--> running
 *      ^                  |  ^                  |
 *      |                 ends | backoff over   ends
 *      |                  v  |                  |
 *      +---- stopping     waiting <-------------+
 */
type State =
  | { readonly kind: 'stopped' }
  | {
      readonly kind: 'starting' | 'running';
      readonly child: ChildProcess;
      readonly sinceMs: number;
    }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'stopping'; readonly child: ChildProcess };

export interface ProcessSpec {
  /** Unique in the system: names the mark and the log. */
  readonly name: string;
  /** Asked for at each start. */
  readonly commandLine: () => CommandLine;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** GET /healthz on this socket answers 200 once the process is up. */
  readonly controlSocket: string;
  /** Unix sockets that a killed predecessor may have left. */
  readonly sockets: readonly string[];
  readonly log: LogFile;
  readonly markDirectory: string;
  readonly stopTimeoutMs: number;
}

export type ProcessChange =
  | { readonly kind: 'running'; readonly afterFailure: boolean }
  | { readonly kind: 'ended'; readonly reason: string; readonly retryMs: number };

/** Keeps one daemon running: starts it again with growing delays, and knows why it ended. */
export class SupervisedProcess {
  readonly #spec: ProcessSpec;
  readonly #onChange: (change: ProcessChange) => void;
  readonly #backoff = new Backoff();
  #state: State = { kind: 'stopped' };
  #lastFailure: string | null = null;
  #restarts = 0;
  #stableTimer: NodeJS.Timeout | undefined;

  constructor(spec: ProcessSpec, onChange: (change: ProcessChange) => void) {
    this.#spec = spec;
    this.#onChange = onChange;
  }

  get status(): 'running' | 'starting' | 'restarting' | 'stopped' {
    switch (this.#state.kind) {
      case 'running':
        return 'running';
      case 'starting':
        return this.#backoff.failures > 0 ? 'restarting' : 'starting';
      case 'waiting':
        return 'restarting';
      case 'stopping':
      case 'stopped':
        return 'stopped';
    }
  }

  /** Null unless it runs or is about to. */
  get pid(): number | null {
    return 'child' in this.#state ? (this.#state.child.pid ?? null) : null;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#backoff.failures;
  }

  /** Why it ended last; null once it is stable again. */
  get lastFailure(): string | null {
    return this.#lastFailure;
  }

  get controlSocket(): string {
    return this.#spec.controlSocket;
  }

  start(): void {
    if (this.#state.kind === 'stopped') this.#spawn();
  }

  /**
   * Resolves when the process is gone: asked first, killed when it takes too long. Gives whether it
   * had to be killed.
   */
  async stop(): Promise<boolean> {
    const state = this.#state;
    clearTimeout(this.#stableTimer);
    if (state.kind === 'stopped') return false;
    if (state.kind === 'waiting') {
      clearTimeout(state.timer);
      this.#state = { kind: 'stopped' };
      return false;
    }
    const { child } = state;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    if (state.kind !== 'stopping') {
      this.#state = { kind: 'stopping', child };
      child.kill('SIGTERM');
    }
    let killed = false;
    const deadline = setTimeout(() => {
      killed = true;
      child.kill('SIGKILL');
    }, this.#spec.stopTimeoutMs);
    await ended;
    clearTimeout(deadline);
    return killed;
  }

  /** Ends it at once, for a second Ctrl-C. */
  kill(): void {
    if ('child' in this.#state) this.#state.child.kill('SIGKILL');
  }

  #spawn(): void {
    const { env, log, sockets } = this.#spec;
    const { command, args } = this.#spec.commandLine();
    for (const socket of sockets) rmSync(socket, { force: true });
    let startBytes = 0;
    let child: ChildProcess;
    try {
      log.rotateIfLarge();
      const output = log.openForChild();
      startBytes = output.startBytes;
      // A process group of its own: Ctrl-C in the terminal is for us, who stop the target before
      // its replicas. Its standard input is a pipe that ends when we do, however we die: it then
      // ends cleanly by itself.
      child = spawn(command, args, {
        stdio: ['pipe', output.fd, output.fd],
        detached: true,
        env: { ...env, OPENEBS_EXIT_ON_STDIN_EOF: '1' },
      });
      closeSync(output.fd);
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error), 0);
      return;
    }
    const sinceMs = performance.now();
    this.#state = { kind: 'starting', child, sinceMs };
    child.stdin?.on('error', () => undefined);
    if (child.pid !== undefined) markProcess(this.#spec.markDirectory, this.#spec.name, child.pid);
    child.once('error', (error) => {
      if (child.pid === undefined) this.#exited(child, error.message, sinceMs);
    });
    child.once('exit', (code, signal) => {
      const how = signal === null ? `exit code ${code ?? '?'}` : `killed by ${signal}`;
      const words = code === 0 || signal !== null ? null : log.lastWords(startBytes);
      this.#exited(child, words ?? how, sinceMs);
    });
    this.#awaitAnswer(child, sinceMs);
  }

  #awaitAnswer(child: ChildProcess, sinceMs: number): void {
    const isStarting = (): boolean =>
      this.#state.kind === 'starting' && this.#state.child === child;
    const again = (): void => {
      setTimeout(() => {
        if (!isStarting()) return;
        controlGet(this.#spec.controlSocket, '/healthz').then(({ status }) => {
          if (!isStarting()) return;
          if (status === 200) this.#running(child, sinceMs);
          else again();
        }, again);
      }, READY_POLL_MS).unref();
    };
    again();
  }

  #running(child: ChildProcess, sinceMs: number): void {
    this.#state = { kind: 'running', child, sinceMs };
    const afterFailure = this.#backoff.failures > 0;
    this.#stableTimer = setTimeout(() => {
      this.#backoff.stable();
      this.#lastFailure = null;
    }, STABLE_AFTER_MS).unref();
    this.#onChange({ kind: 'running', afterFailure });
  }

  #exited(child: ChildProcess, reason: string, sinceMs: number): void {
    clearTimeout(this.#stableTimer);
    unmarkProcess(this.#spec.markDirectory, this.#spec.name);
    if (this.#state.kind === 'stopping') {
      this.#state = { kind: 'stopped' };
      return;
    }
    if ('child' in this.#state && this.#state.child === child) {
      this.#failed(reason, performance.now() - sinceMs);
    }
  }

  #failed(reason: string, aliveMs: number): void {
    const retryMs = this.#backoff.failed(aliveMs);
    this.#lastFailure = reason;
    const timer = setTimeout(() => {
      this.#restarts += 1;
      this.#spawn();
    }, retryMs);
    this.#state = { kind: 'waiting', timer };
    this.#onChange({ kind: 'ended', reason, retryMs });
  }
}
