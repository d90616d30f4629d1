/**
 * Goal: libiscsi's conformance suite finds nothing: every one of its tests runs, and passes.
 * Method: Debian's iscsi-test-cu with its destructive tests and a second path, against a volume of
 * three replica processes; what it prints is read test by test.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

import { expect } from 'chai';

import { openDisk } from '../initiator/disk.ts';
import { findCommand } from '../support/debian.ts';
import { runTool, tryTool } from '../support/tool.ts';
import { useVolume } from '../support/volume-fixture.ts';
import { SKIPPED_BY_SUITE, WRONG_IN_SUITE } from './exceptions.ts';
import { parseConformance, parseList, type ConformanceResult } from './results.ts';

const GIB = 2 ** 30;
/** What Debian's version has, so that a parser that loses tests is noticed. */
const TESTS_KNOWN = 230;
const SUITE_LIMIT_MS = 240_000;
/** Longer, so that a suite that is stuck is told with what it has printed. */
const TEST_LIMIT_MS = SUITE_LIMIT_MS + 60_000;

const MODE_HEADER_BYTES = 4;
/** Header and control page. */
const MODE_BYTES = MODE_HEADER_BYTES + 12;
const SWP = 0x08;

const tool = findCommand('iscsi-test-cu');
const names =
  tool === null ? [] : parseList(spawnSync(tool, ['--list'], { encoding: 'utf8' }).stdout, 'ALL');

/** Runs the suite's tests that match, on as many paths as there are addresses. */
async function runSuite(pattern: string, urls: readonly string[]): Promise<ConformanceResult[]> {
  const args = ['--dataloss', `--test=ALL${pattern}`, ...urls];
  // It ends with 1 when a test failed, which the results tell better.
  const { stdout, stderr } = await tryTool('iscsi-test-cu', args, { timeoutMs: SUITE_LIMIT_MS });
  const results = parseConformance(stdout);
  if (results.length === 0) throw new Error(`the suite did not run:\n${stdout}${stderr}`);
  return results;
}

describe("libiscsi's conformance suite", function () {
  this.timeout(TEST_LIMIT_MS);
  const fixture = useVolume(() => ({ sizeBytes: GIB }));
  const results = new Map<string, ConformanceResult>();

  before(async () => {
    const ran = await runSuite('', [fixture.url(), fixture.url()]);
    for (const result of ran) results.set(result.name, result);
  });

  it(`has ${TESTS_KNOWN} tests, and all of them came to an end`, () => {
    expect(names).to.have.length(TESTS_KNOWN);
    expect([...results.keys()].sort()).to.deep.equal([...names].sort());
  });

  for (const name of names) {
    const skipReason = SKIPPED_BY_SUITE[name];
    const wrong = WRONG_IN_SUITE[name];
    if (wrong !== undefined) {
      it(`${name}, but for what is wrong in it: ${wrong.reason}`, () => {
        const { output, assertions } = results.get(name)!;
        expect(assertions, output).to.have.length(1);
        expect(assertions[0]).to.include(wrong.assertion);
      });
    } else {
      it(skipReason === undefined ? name : `${name}: ${skipReason}`, function () {
        const result = results.get(name);
        expect(result?.outcome, result?.output ?? 'it did not run').to.equal('passed');
        if (skipReason === undefined) {
          expect(result?.skipped, 'it skipped something').to.deep.equal([]);
        } else {
          expect(result?.skipped, 'it runs now: take it off the list').to.not.deep.equal([]);
          // CUnit counts it as passed; it has not run, so it is counted as skipped here.
          this.skip();
        }
      });
    }
  }

  it('ReadOnly.ReadOnlySBC passes on a unit that is write-protected by the bit SWP', async () => {
    await setSoftwareWriteProtect(true);
    const [result] = await runSuite('.ReadOnly', [fixture.url()]);
    expect(result?.outcome, result?.output).to.equal('passed');
    expect(result?.skipped).to.deep.equal([]);
    await setSoftwareWriteProtect(false);
  });

  it('leaves the volume healthy, with three replicas in sync', async () => {
    const { state, replicas } = await fixture.volume.status();
    expect(state).to.equal('healthy');
    expect(replicas.map(({ mode }) => mode)).to.deep.equal(['in-sync', 'in-sync', 'in-sync']);
  });

  /**
   * MODE SENSE and MODE SELECT (6) of the control page, without block descriptors. SPC-4 6.9, 6.11,
   * 7.5.10
   */
  async function setSoftwareWriteProtect(on: boolean): Promise<void> {
    const disk = await openDisk(fixture.volume.portal);
    const sense = Buffer.from([0x1a, 0x08, 0x0a, 0, MODE_BYTES, 0]);
    const { dataIn } = await disk.run({ cdb: sense, dataInBytes: MODE_BYTES });
    const parameters = Buffer.alloc(MODE_BYTES);
    dataIn.copy(parameters, MODE_HEADER_BYTES, MODE_HEADER_BYTES);
    const swpAt = MODE_HEADER_BYTES + 4;
    parameters.writeUInt8((parameters.readUInt8(swpAt) & ~SWP) | (on ? SWP : 0), swpAt);
    const select = Buffer.from([0x15, 0x10, 0, 0, MODE_BYTES, 0]);
    await disk.run({ cdb: select, dataOut: parameters });
    await disk.session.logout();
  }
});

describe("libiscsi's conformance suite, with CHAP", function () {
  this.timeout(TEST_LIMIT_MS);
  const user = { name: 'alice', secret: 'correct-horse-battery' };
  const fixture = useVolume((directory) => {
    writeFileSync(`${directory}/secret`, user.secret, { mode: 0o600 });
    return {
      sizeBytes: GIB,
      targetFlags: { 'chap-user': user.name, 'chap-secret-file': `${directory}/secret` },
    };
  });

  it('passes the tests of the protocol itself after authentication', async () => {
    const results = await runSuite('.iSCSI*', [fixture.url(user)]);
    expect(results.map(({ name }) => name)).to.deep.equal(
      names.filter((name) => name.startsWith('iSCSI')),
    );
    for (const { outcome, output } of results) expect(outcome, output).to.equal('passed');
  });

  it('lists the target and its logical unit to one who knows the secret', async () => {
    const { host, port, targetName } = fixture.volume.portal;
    const { stdout } = await runTool('iscsi-ls', [
      '--show-luns',
      `iscsi://${user.name}%${user.secret}@${host}:${port}`,
    ]);
    expect(stdout).to.include(targetName);
    expect(stdout).to.match(/^Lun:0\b.*DIRECT_ACCESS/m);
  });

  it('does not let in one who does not know it', async () => {
    const wrong = fixture.url({ ...user, secret: 'incorrect-horse' });
    const { code, stdout, stderr } = await tryTool('iscsi-inq', [wrong]);
    expect(code).to.not.equal(0);
    expect(stdout + stderr).to.match(/Authentication failure/i);
  });
});
