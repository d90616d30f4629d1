/**
 * Runs one suite in a process group of its own, watches the clock, and leaves nothing of it behind.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import type { SuiteEvent, SuiteRequest } from './suite-process.ts';
import { filesOf, type Command, type CommandSuite, type MochaSuite, type Suite } from './suites.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface SuiteResult extends Counts {
  readonly name: string;
  readonly seconds: number;
  /** One line each, for the summary at the end. */
  readonly failures: readonly string[];
}

export interface RunOptions {
  readonly root: string;
  /** Only tests whose full title matches. */
  readonly grep: string | null;
  readonly write: (text: string) => void;
  /** What the suite's process prints goes to `write` too, instead of where ours goes. */
  readonly piped?: boolean;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** Command lines of processes that outlived the suite. */
  readonly leftovers: readonly string[];
}

/** What a suite's process has told of itself. */
interface Heard {
  /** The test or hook in progress. */
  running: string | null;
  total: Counts | null;
  readonly failures: string[];
}

const SUITE_PROCESS = join(import.meta.dirname, 'suite-process.ts');
/** Before a command: it gets a network with nothing but loopback. */
export const OWN_NETWORK = [
  'unshare',
  ...['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'],
] as const;
const KILL_AFTER_MS = 5_000;

/** The groups that live now, so that an interrupt of the parent ends them too. */
const groups = new Set<number>();

export function killEverything(): void {
  for (const group of groups) signalGroup(group, 'SIGKILL');
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Command lines of a process group's members that still run; zombies have ended already. */
function membersOf(group: number): string[] {
  const listing = spawnSync('ps', ['-e', '-o', 'pgid=,stat=,pid=,etime=,args='], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return listing.stdout
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .filter(([, pgid, state]) => Number(pgid) === group && !state!.startsWith('Z'))
    .map(([, , , rest]) => rest!);
}

function start(command: Command, options: RunOptions, ipc: boolean): ChildProcess {
  const output = options.piped === true ? 'pipe' : 'inherit';
  const child = spawn(command.file, command.args, {
    cwd: options.root,
    detached: true,
    stdio: ['ignore', output, output, ...(ipc ? ['ipc' as const] : [])],
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => options.write(chunk.toString()));
  if (child.pid !== undefined) groups.add(child.pid);
  return child;
}

async function finish(child: ChildProcess, limitMs: number, stuck: () => void): Promise<Ended> {
  const group = child.pid!;
  const limit = AbortSignal.timeout(limitMs);
  const end = (): void => {
    stuck();
    signalGroup(group, 'SIGTERM');
    setTimeout(() => signalGroup(group, 'SIGKILL'), KILL_AFTER_MS).unref();
  };
  limit.addEventListener('abort', end);
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  limit.removeEventListener('abort', end);
  const timedOut = limit.aborted;
  const leftovers = timedOut ? [] : membersOf(group);
  signalGroup(group, 'SIGKILL');
  groups.delete(group);
  // Its last words may still be in the pipe.
  if (child.stdout?.readableEnded === false) await once(child.stdout, 'end');
  return { code, signal, timedOut, leftovers };
}

async function runCommands(suite: CommandSuite, options: RunOptions): Promise<SuiteResult> {
  const startedAt = performance.now();
  const ends = await Promise.all(
    suite.commands.map(async (command) => {
      const child = start(command, options, false);
      const end = await finish(child, suite.limitSeconds * 1000, () =>
        options.write(`${command.name} did not end within ${suite.limitSeconds} s\n`),
      );
      return { command, end };
    }),
  );
  const failures = ends
    .filter(({ end }) => end.code !== 0 || end.timedOut)
    .map(({ command }) => `${command.name} found something: see its messages above`);
  const failed = failures.length === 0 ? 0 : 1;
  const seconds = (performance.now() - startedAt) / 1000;
  return { name: suite.name, seconds, failures, passed: 1 - failed, failed, skipped: 0 };
}

function hear(heard: Heard, event: SuiteEvent): void {
  if (event.kind === 'begin') heard.running = event.title;
  else if (event.kind === 'end') heard.running = null;
  else if (event.kind === 'total') heard.total = event;
  else heard.failures.push(`${event.title}: ${event.message.split('\n', 1)[0] ?? ''}`);
}

function sayStuck(suite: MochaSuite, heard: Heard, group: number, options: RunOptions) {
  options.write(
    `\nsuite ${suite.name} did not end within ${suite.limitSeconds} s; in progress: ${heard.running ?? 'no test'}\n` +
      `processes of the suite:\n${membersOf(group)
        .map((line) => `  ${line}\n`)
        .join('')}`,
  );
}

async function runMocha(suite: MochaSuite, options: RunOptions): Promise<SuiteResult> {
  const startedAt = performance.now();
  const files = filesOf(suite, options.root);
  const request: SuiteRequest = {
    files,
    reporter: suite.reporter,
    testTimeoutMs: suite.testTimeoutMs,
    grep: options.grep,
  };
  const command = [process.execPath, SUITE_PROCESS, JSON.stringify(request)];
  const isAlone = suite.ownNetwork === true && process.getuid?.() === 0;
  const [file = '', ...args] = isAlone ? [...OWN_NETWORK, ...command] : command;
  const child = start({ name: suite.name, file, args }, options, true);
  const heard: Heard = { running: null, total: null, failures: [] };
  child.on('message', (message) => hear(heard, message as SuiteEvent));
  const end = await finish(child, suite.limitSeconds * 1000, () =>
    sayStuck(suite, heard, child.pid!, options),
  );
  const { passed, failed, skipped } = heard.total ?? { passed: 0, failed: 0, skipped: 0 };
  const extra = complaints(suite, end, heard, options);
  return {
    name: suite.name,
    seconds: (performance.now() - startedAt) / 1000,
    passed,
    failed: failed + extra.length,
    skipped,
    failures: [...heard.failures, ...extra],
  };
}

/** What is wrong with a suite as a whole, beside its tests. */
function complaints(
  suite: MochaSuite,
  end: Ended,
  { total, running }: Heard,
  options: RunOptions,
): string[] {
  if (end.timedOut)
    return [`did not end within ${suite.limitSeconds} s, in: ${running ?? 'no test'}`];
  if (total === null)
    return [
      `ended by ${end.signal ?? `code ${end.code ?? 0}`}, without results, in: ${running ?? 'no test'}`,
    ];
  const found: string[] = [];
  if (total.passed + total.failed + total.skipped === 0 && options.grep === null)
    found.push(`no test ran: is there a ${suite.files}?`);
  if (end.leftovers.length > 0)
    found.push(`left processes behind, now killed: ${end.leftovers.join('; ')}`);
  return found;
}

export function runSuite(suite: Suite, options: RunOptions): Promise<SuiteResult> {
  return suite.kind === 'commands' ? runCommands(suite, options) : runMocha(suite, options);
}
