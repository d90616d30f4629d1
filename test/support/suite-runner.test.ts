import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';

import { runSuite, type SuiteResult } from './suite-runner.ts';
import type { MochaSuite } from './suites.ts';

const OUTLIVES = 'setInterval(() => undefined, 1000) && "outlives its test"';

describe('the suite runner', function () {
  this.timeout(30_000);
  let root = '';
  let said = '';

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'openebs-suite-'));
    said = '';
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function run(text: string | null, limitSeconds = 20, grep: string | null = null) {
    if (text !== null) writeFileSync(join(root, 'one.test.mjs'), text);
    const suite: MochaSuite = {
      kind: 'mocha',
      name: 'sample',
      about: '',
      limitSeconds,
      needs: [],
      files: '*.test.mjs',
      reporter: 'silent',
      testTimeoutMs: 20_000,
    };
    return runSuite(suite, { root, grep, write: (line) => void (said += line) });
  }
  const counts = ({ passed, failed, skipped }: SuiteResult) => ({ passed, failed, skipped });

  it('counts what passes, fails and is skipped, and tells the failures', async () => {
    const result = await run(
      `it('one', () => {}); it('two', () => { throw new Error('broken\\nin detail'); });
       it('three', function () { this.skip(); }); it('four', () => {});`,
    );
    expect(counts(result)).to.deep.equal({ passed: 2, failed: 1, skipped: 1 });
    expect(result.failures).to.deep.equal(['two: broken']);
  });

  it('counts a suite without tests as a failure, unless tests were chosen by name', async () => {
    expect(counts(await run(null))).to.include({ passed: 0, failed: 1 });
    const none = await run("it('one', () => {});", 20, 'another');
    expect(counts(none)).to.include({ passed: 0, failed: 0 });
  });

  it('counts a file that cannot be loaded as a failure', async () => {
    const result = await run("import './missing.mjs'; it('one', () => {});");
    expect(counts(result)).to.include({ passed: 0, failed: 1 });
  });

  it('ends a suite that is stuck, and says in which test and with which processes', async () => {
    const result = await run("it('never ends', () => { for (;;); });", 2);
    expect(result.failed).to.equal(1);
    expect(result.failures.join()).to.include('never ends');
    expect(said).to.include('never ends').and.include('suite-process.ts');
  });

  it('kills processes that a suite left behind, and counts them as a failure', async () => {
    const result = await run(
      `import { spawn } from 'node:child_process';
       it('one', () => void spawn(process.execPath, ['-e', ${JSON.stringify(OUTLIVES)}]));`,
    );
    expect(counts(result)).to.include({ passed: 1, failed: 1 });
    expect(result.failures.join()).to.include('outlives its test');
  });
});
