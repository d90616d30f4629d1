/** What `iscsi-test-cu` prints, as data. */

export interface ConformanceResult {
  /** SUITE.TEST */
  readonly name: string;
  readonly outcome: 'passed' | 'failed';
  /** Why it or a part of it did not run: the texts behind [SKIPPED]. */
  readonly skipped: readonly string[];
  /** The assertions that failed, as CUnit lists them. */
  readonly assertions: readonly string[];
  /** All that it said. */
  readonly output: string;
}

const SUITE = /^Suite: (\S+)/;
const TEST = /^ {2}Test: (\S+) \.\.\.(.*)$/;
const VERDICT = /^(passed|FAILED)/;
const ASSERTION = /^ +\d+\. (.*)$/;
const SKIPPED = /\[SKIPPED\]\s*(.*?)\s*$/;

/**
 * CUnit's verbose mode: `  Test: NAME ...`, then what the test prints, then `passed` or `FAILED`.
 */
export function parseConformance(text: string): ConformanceResult[] {
  const results: ConformanceResult[] = [];
  let suite = '';
  let test: { name: string; lines: string[] } | null = null;
  const finish = (): void => {
    if (test !== null) results.push(resultOf(test.name, test.lines));
    test = null;
  };
  for (const line of text.split('\n')) {
    const suiteName = SUITE.exec(line)?.[1];
    const [, testName, rest = ''] = TEST.exec(line) ?? [];
    if (suiteName !== undefined || line.startsWith('Run Summary:')) finish();
    if (suiteName !== undefined) {
      suite = suiteName;
    } else if (testName !== undefined) {
      finish();
      test = { name: `${suite}.${testName}`, lines: [rest] };
    } else {
      test?.lines.push(line);
    }
  }
  finish();
  return results;
}

function resultOf(name: string, lines: readonly string[]): ConformanceResult {
  // The verdict begins a line; what the next suite's preparation prints may follow on it. Without
  // one the test took the whole run with it.
  const verdict = lines.map((line) => VERDICT.exec(line)?.[1]).find((word) => word !== undefined);
  const outcome = verdict === 'passed' ? 'passed' : 'failed';
  const skipped = matches(lines, SKIPPED);
  const assertions = matches(lines, ASSERTION);
  return { name, outcome, skipped, assertions, output: lines.join('\n').trimEnd() };
}

function matches(lines: readonly string[], pattern: RegExp): string[] {
  return lines.map((line) => pattern.exec(line)?.[1]).filter((match) => match !== undefined);
}

/** The names that `--list` gives for one family, without the family. */
export function parseList(text: string, family: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${family}.`) && line.split('.').length === 3)
    .map((line) => line.slice(family.length + 1));
}
