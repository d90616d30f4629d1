/**
 * Goal: a person and a script are told of rot: in the log, as an event, in metrics, by mayactl; and
 * by `replica check` when nothing runs.
 * Method: a whole system as `npm start` makes it; bytes of a replica's files are turned over.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { LocalSystem } from '../local/local-system.ts';
import { REPOSITORY, temporaryDirectory } from '../support/daemons.ts';
import { BLOCK, EXTENT, pattern, until } from './damaged-volume.ts';

const rot = (directory: string, file: string, offsetBytes: number): void => {
  const path = join(directory, file);
  const byte = readFileSync(path)[offsetBytes] ?? 0;
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from([~byte & 0xff]), 0, 1, offsetBytes);
  closeSync(fd);
};

const check = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [join(REPOSITORY, 'replica/src/main.ts'), 'check', ...args], {
    encoding: 'utf8',
  });

describe('rot is told', function () {
  this.timeout(120_000);
  const root = temporaryDirectory();
  let system: LocalSystem;
  let directories: readonly string[];

  before(async () => {
    system = await LocalSystem.start(join(root.path, 'd'), ['--no-demo']);
    const args = ['volume', 'create', 'db', '--size', '64MiB', '--replicas', '3'];
    expect((await system.mayactl(...args)).code).to.equal(0);
    const disk = await system.disk('db');
    await disk.write(0, pattern(EXTENT, 1));
    await disk.session.logout();
    directories = (await system.volume('db')).replicas.map(({ directory }) => directory);
  });
  after(async () => {
    await system.stop();
    root.remove();
  });

  it('by mayactl, which scrubs, waits, and says what was found', async () => {
    rot(directories[1]!, '000001.img', 5 * BLOCK);
    rot(directories[2]!, '000001.img', 9 * BLOCK);
    const scrub = await system.mayactl('volume', 'scrub', 'db', '--watch');
    expect(scrub.code, scrub.stderr).to.equal(0);
    expect(scrub.stdout).to.equal('volume db was not sound; bad blocks: 2; all are repaired\n');
    const info = (await system.mayactl('volume', 'info', 'db')).stdout;
    const words = info.replace(/\s+/g, ' ');
    expect(words).to.match(/Integrity : 2 bad blocks found, 2 repaired; last: replica-\d: bad/);
    expect(words).to.match(/bad blocks from byte 0 on: 1; scrubbed 2/);
    const again = await system.mayactl('volume', 'scrub', 'db', '--watch');
    expect(again.stdout).to.equal('volume db is sound\n');
  });

  it('by events and metrics of the API', async () => {
    const messages = async (): Promise<string> => {
      const { items } = (await (await system.api('/v1/events')).json()) as {
        items: { kind: string; message: string }[];
      };
      return items
        .filter(({ kind }) => kind === 'integrity')
        .map(({ message }) => message)
        .join('\n');
    };
    await until('the event of the repair', async () => /repaired.*: 2/.test(await messages()));
    expect(await messages()).to.match(/bad copies of blocks: 2; the last one: replica-\d: bad/);
    rot(directories[0]!, 'activity', 80);
    await system.mayactl('volume', 'scrub', 'db', '--watch');
    await until('the event of the slot', async () =>
      /replica-1: 1 of the slots of its superblock/.test(await messages()),
    );
    const metrics = await (await system.api('/metrics')).text();
    expect(metrics).to.match(/openebs_volume_repaired_blocks_total\{volume="db"\} 2/);
    expect(metrics).to.match(/openebs_volume_last_scrub_timestamp_seconds\{volume="db"\} \d/);
    expect(metrics).to.match(
      /openebs_replica_scrub_errors_total\{[^}]*replica="replica-2"[^}]*\} 1/,
    );
  });

  it('by replica check, with its exit codes, once the system is stopped', async () => {
    const running = check(directories[0]!);
    expect([running.status, running.stderr.includes('LOCKED')]).to.deep.equal([1, true]);
    await system.stop();
    for (const directory of directories) {
      const { status, stdout } = check(directory);
      expect(status, stdout).to.equal(0);
      expect(stdout).to.include('The copy is clean.');
    }
    rot(directories[1]!, '000001.img', 17 * BLOCK);
    const bad = check('-o', 'json', directories[1]!);
    expect(bad.status).to.equal(1);
    const report = JSON.parse(bad.stdout) as { findings: { offsetBytes: number }[] };
    expect(report.findings.map(({ offsetBytes }) => offsetBytes)).to.deep.equal([17 * BLOCK]);
    const text = check(directories[1]!).stdout.split('\n').slice(1).join('\n');
    expect(Math.max(...text.split('\n').map((line) => line.length))).to.be.at.most(80);
    expect(check().status).to.equal(2);
    expect(check('--strange', directories[1]!).status).to.equal(2);
    expect(check('--help')).to.deep.include({ status: 0, stderr: '' });
  });
});
