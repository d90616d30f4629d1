/**
 * `npm test`: every suite, one after the other, each in a process of its own.
 *
 * Tools that a suite needs are installed where that is allowed; a suite that cannot have them is
 * skipped and says how to get them, except with CI=true, where it fails: a check that nobody
 * notices missing is none.
 */
import { delimiter, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { Debian } from './support/debian.ts';
import { killEverything, runSuite, type SuiteResult } from './support/suite-runner.ts';
import { SUITES, type Suite } from './support/suites.ts';

const HELP = `npm test [-- options]

  --suite NAME     run this suite only; several as a|b, or the option again
  --grep PATTERN   run only tests whose full title matches the regular expression
  --list           list the suites
  --help           this text

Missing tools are installed from Debian when this runs as root or sudo asks no password.
With CI=true a tool that cannot be had is a failure; otherwise its suites are skipped.
`;

const root = dirname(import.meta.dirname);
const write = (text: string): void => void process.stdout.write(text);
const isCi = process.env['CI'] === 'true';

class UsageError extends Error {}

interface Options {
  readonly suites: readonly Suite[];
  readonly grep: string | null;
}

function chosenSuites(names: readonly string[], grep: string | null): readonly Suite[] {
  const wanted = names.flatMap((name) => name.split(/[|,]/)).filter((name) => name !== '');
  for (const name of wanted) {
    if (!SUITES.some((suite) => suite.name === name))
      throw new UsageError(
        `there is no suite ${name}; there are: ${SUITES.map((suite) => suite.name).join(', ')}`,
      );
  }
  if (wanted.length > 0) return SUITES.filter((suite) => wanted.includes(suite.name));
  const usual = SUITES.filter(({ onRequest = false }) => !onRequest);
  return grep === null ? usual : usual.filter(({ kind }) => kind === 'mocha');
}

/** Null when the text asked for has been printed. */
function readOptions(): Options | null {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        suite: { type: 'string', multiple: true, default: [] },
        grep: { type: 'string' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
    if (values.grep !== undefined) new RegExp(values.grep);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
  if (values.help) write(HELP);
  if (values.list) for (const { name, about } of SUITES) write(`${name.padEnd(12)} ${about}\n`);
  if (values.help || values.list) return null;
  const grep = values.grep ?? null;
  return { suites: chosenSuites(values.suite, grep), grep };
}

/** A suite that did not run: `problems` make it a failure, none of them a skip. */
function notRun(suite: Suite, problems: readonly string[]): SuiteResult {
  const failed = problems.length > 0 ? 1 : 0;
  const { name } = suite;
  return { name, seconds: 0, passed: 0, failed, skipped: 1 - failed, failures: problems };
}

type Write = (text: string) => void;

interface RunContext {
  readonly debian: Debian;
  readonly grep: string | null;
  readonly write: Write;
  readonly piped: boolean;
}

async function run(suite: Suite, { debian, ...options }: RunContext): Promise<SuiteResult> {
  const { write } = options;
  write(`\n== ${suite.name}: ${suite.about}\n`);
  if ((suite.architecture ?? process.arch) !== process.arch) {
    write(`skipped: it runs on ${suite.architecture ?? ''} only, and this is ${process.arch}\n`);
    return notRun(suite, []);
  }
  const lacks = suite.lacks?.() ?? debian.provide(suite.needs);
  if (lacks !== null) {
    write(`${isCi ? 'failed' : 'skipped'}: ${lacks}\n`);
    return notRun(suite, isCi ? [lacks] : []);
  }
  return await runSuite(suite, { root, ...options });
}

/** In their order; neighbours that leave a processor idle run at once, and speak in turn. */
async function runAll(suites: readonly Suite[], context: RunContext): Promise<SuiteResult[]> {
  const results: SuiteResult[] = [];
  for (let next = 0; next < suites.length;) {
    let end = next + 1;
    const beside = suites[next]?.beside;
    while (beside !== undefined && suites[end]?.beside === beside) end++;
    const group = suites.slice(next, end).map((suite, index) => {
      const said: string[] = [];
      const speak = index === 0 ? context.write : (text: string) => void said.push(text);
      return { said, ended: run(suite, { ...context, write: speak, piped: index > 0 }) };
    });
    for (const { said, ended } of group) {
      results.push(await ended);
      context.write(said.join(''));
    }
    next = end;
  }
  return results;
}

function summarise(results: readonly SuiteResult[]): void {
  write('\n');
  for (const { name, seconds, passed, failed, skipped } of results) {
    const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    write(`  ${name.padEnd(12)} ${seconds.toFixed(1).padStart(6)} s  ${counts}\n`);
  }
  for (const { name, failures } of results)
    for (const failure of failures) write(`  failed in ${name}: ${failure}\n`);
  const sum = (field: 'passed' | 'failed' | 'skipped') =>
    results.reduce((total, result) => total + result[field], 0);
  write(`\n${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`);
  process.exitCode = sum('failed') === 0 ? 0 : 1;
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options === null) return;
  // The tests start daemons by the name `node`; it has to be the one that runs this.
  const path = [dirname(process.execPath), join(root, 'node_modules', '.bin'), process.env['PATH']];
  process.env['PATH'] = path.join(delimiter);
  const debian = new Debian(root, (line) => write(`${line}\n`));
  summarise(await runAll(options.suites, { debian, grep: options.grep, write, piped: false }));
}

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    killEverything();
    process.exit(exitCode);
  });
}

// A reader that closes early (`| head`) takes the suites with it.
process.stdout.on('error', () => {
  killEverything();
  process.exit(1);
});

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
