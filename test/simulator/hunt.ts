import { fork } from 'node:child_process';
import type { Mutant } from './mutant.ts';
import type { Hunt } from './mutant-runner.ts';

const HOOK = new URL('mutant-hook.ts', import.meta.url).href;
const RUNNER = new URL('mutant-runner.ts', import.meta.url).pathname;

export interface HuntOptions {
  readonly first: number;
  readonly seeds: number;
  /** Ends after so many that failed. */
  readonly failures: number;
}

/** Runs seeds of the mutant's profile in a process in which the bug is planted. */
export const hunt = (
  { name, profile }: Mutant,
  { first, seeds, failures }: HuntOptions,
): Promise<Hunt> =>
  new Promise((resolve) => {
    const child = fork(RUNNER, [profile, first, seeds, failures].map(String), {
      execArgv: ['--import', HOOK],
      env: { ...process.env, MUTANT: name },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // A run that never ends of itself is found, too: by whoever ends the process.
    let found: Hunt = {
      seed: first,
      seeds: 0,
      message: 'the process ended',
      failures: { crash: 1 },
    };
    child.on('message', (message) => (found = message as Hunt));
    child.on('exit', () => resolve(found));
  });
