import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The command line ends the process where it is wrong, so a process of its own tries it. */
const PROGRAM = `
  import { DaemonOptions, oneOf } from ${JSON.stringify(join(import.meta.dirname, 'options.ts'))};
  import { parseSize } from ${JSON.stringify(join(import.meta.dirname, 'size.ts'))};
  const options = new DaemonOptions({
    name: 'daemon', description: 'What it is.', version: '1.2.3',
  });
  const size = options.requiredFlag({
    flags: '--max-size <size>', description: 'Bytes.', parse: parseSize });
  const peers = options.repeatedFlag({
    flags: '--peer <name>', description: 'Peer.', parse: (text) => text });
  const mode = options.flag({
    flags: '--mode <mode>', description: 'Mode.', parse: oneOf(['a', 'b']),
    default: { value: 'a', text: 'a' } });
  const quick = options.switch({ flags: '--quick', description: 'Quick.' });
  options.parse();
  console.log(JSON.stringify([size(), peers(), mode(), quick()]));
`;

const directory = mkdtempSync(join(tmpdir(), 'openebs-options-'));

const run = (
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { code: number | null; out: string; err: string } => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(directory, 'daemon.ts'), ...argv],
    { env: { ...process.env, ...env }, encoding: 'utf8' },
  );
  return { code: status, out: stdout, err: stderr };
};

describe('DaemonOptions', () => {
  before(() => writeFileSync(join(directory, 'daemon.ts'), PROGRAM));
  after(() => rmSync(directory, { recursive: true }));

  it('takes each flag from the command line, else from the environment, else its default', () => {
    const env = {
      OPENEBS_MAX_SIZE: '1KiB',
      OPENEBS_PEER: 'x, y',
      OPENEBS_MODE: 'b',
      OPENEBS_QUICK: '1',
    };
    expect(JSON.parse(run([], env).out)).to.deep.equal([1024, ['x', 'y'], 'b', true]);
    const given = run(['--max-size', '2', '--peer', 'p', '--peer', 'q', '--mode', 'a'], env);
    expect(JSON.parse(given.out)).to.deep.equal([2, ['p', 'q'], 'a', true]);
    expect(JSON.parse(run(['--max-size', '2']).out)).to.deep.equal([2, [], 'a', false]);
    const off = run(['--max-size', '2'], { OPENEBS_QUICK: 'no' });
    expect(JSON.parse(off.out)).to.deep.equal([2, [], 'a', false]);
  });

  it('ends with code 2 and says what is allowed', () => {
    const wrong = run(['--max-size', 'much']);
    expect(wrong.code).to.equal(2);
    expect(wrong.err).to.include("'--max-size <size>'").and.to.include('1GiB');
    expect(run([]).err).to.include('required option');
    expect(run(['--max-size', '1', '--mode', 'c']).err).to.include('Allowed are a, b.');
    expect(run(['--max-size', '1'], { OPENEBS_PEER: '' }).code).to.equal(2);
    expect(run(['--max-size', '']).err).to.include('It is empty: give a value, or leave it out.');
    expect(run(['--max-size', '1', '--what']).code).to.equal(2);
    const neither = run(['--max-size', '1'], { OPENEBS_QUICK: 'maybe' });
    expect(neither.code).to.equal(2);
    expect(neither.err).to.include('OPENEBS_QUICK is "maybe"; allowed are 1, true, yes');
    expect(run([], { OPENEBS_MAX_SIZE: 'much' }).err).to.include("env 'OPENEBS_MAX_SIZE'");
  });

  it('explains every flag, with its variable and its default', () => {
    const help = run(['--help']);
    expect(help.code).to.equal(0);
    for (const name of ['MAX_SIZE', 'PEER', 'MODE', 'QUICK']) {
      expect(help.out).to.include(`OPENEBS_${name}`);
    }
    expect(help.out).to.include('default: a');
    expect(run(['--version']).out.trim()).to.equal('1.2.3');
  });
});
