/**
 * Goal: a volume in use grows, gets replicas and loses them, with two commands, and its initiators
 * notice no more than a new capacity; whatever dies in the middle, the next start goes on with it.
 * Method: the real system and mayactl; an initiator that stays logged in; kill -9 of the supervisor
 * after each kind of change was recorded.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { testUnitReady } from '../initiator/cdb.ts';
import { decodeSense } from '../initiator/disk.ts';
import { LocalSystem } from './local-system.ts';

const MIB = 1024 ** 2;
const BLOCK = Buffer.alloc(4096, 0x5a);

describe('a volume that is changed while it is used', function () {
  this.timeout(180_000);
  let root: string;
  let system: LocalSystem;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-change-'));
    system = await LocalSystem.start(root, ['--no-demo']);
    const created = await system.mayactl(
      ...['volume', 'create', 'db', '--size', '64MiB', '--replicas', '2'],
    );
    expect(created.code, created.stderr).to.equal(0);
  });
  afterEach(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  const done = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await system.mayactl(...args);
    expect(code, stderr).to.equal(0);
    return stdout;
  };

  it('grows: the initiator is told, and can use the new part', async () => {
    const disk = await system.disk('db');
    await disk.write(0, BLOCK);
    expect(await done('volume', 'resize', 'db', '--size', '96MiB')).to.include('96 MiB');
    // SPC-4: with the next command, once. 2Ah/09h is CAPACITY DATA HAS CHANGED.
    const { sense } = await disk.session.execute({ cdb: testUnitReady(), lun: 0 });
    expect(decodeSense(sense)).to.deep.equal({ key: 6, asc: 0x2a, ascq: 0x09 });
    expect(await disk.capacity()).to.equal(96 * MIB);
    expect((await disk.read(0, 4096)).equals(BLOCK)).to.equal(true);
    await disk.write(96 * MIB - 4096, BLOCK);
    expect((await disk.read(96 * MIB - 4096, 4096)).equals(BLOCK)).to.equal(true);
    await disk.session.logout();
    const refused = await system.mayactl('volume', 'resize', 'db', '--size', '32MiB');
    expect([refused.code, refused.stderr]).to.satisfy(
      ([code, text]: [number, string]) => code === 2 && text.includes('cannot shrink'),
    );
  });

  it('limits its rebuilds, and keeps the limit when everything has died', async () => {
    const limit = async (): Promise<unknown> => {
      const info = await done('volume', 'info', 'db', '-o', 'json');
      return (JSON.parse(info) as { rebuildBytesPerSecond: unknown }).rebuildBytesPerSecond;
    };
    expect(await limit()).to.equal(null);
    const set = ['volume', 'set-rebuild-rate', 'db'];
    expect(await done(...set, '--limit', '8MiB')).to.include('8 MiB in a second');
    expect(await done('volume', 'info', 'db')).to.match(/^Rebuild Limit +: 8 MiB\/s$/m);
    await system.kill9All();
    system = await LocalSystem.start(root, ['--no-demo']);
    await system.volumeBeing('db', 'healthy');
    expect(await limit()).to.equal(8 * MIB);
    await done(...set, '--none');
    expect(await limit()).to.equal(null);
    for (const wrong of [[], ['--limit', '0'], ['--limit', 'fast'], ['--limit', '1MiB', '--none']])
      expect((await system.mayactl(...set, ...wrong)).code, wrong.join(' ')).to.equal(2);
    const body = { rebuildBytesPerSecond: 0 };
    const answer = await system.api('/v1/volumes/db', { method: 'PATCH', body });
    expect(answer.status).to.equal(400);
  });

  it('goes from two replicas to three and back, and replaces one that was lost', async () => {
    const disk = await system.disk('db');
    await disk.write(5 * MIB, BLOCK);
    await done('replica', 'add', 'db');
    expect(await done('replica', 'list', 'db')).to.match(/replica-4 +in-sync/);
    expect(await done('replica', 'list', 'db')).not.to.include('witness');
    await done('replica', 'remove', 'db', 'replica-1');
    const list = await done('replica', 'list', 'db');
    expect(list).to.include('witness').and.not.to.include('replica-1 ');
    expect(existsSync(join(root, 'volumes', 'db', 'replica-1'))).to.equal(false);
    expect((await disk.read(5 * MIB, 4096)).equals(BLOCK)).to.equal(true);
    await disk.session.logout();
    await done('replica', 'kill', 'db', '2');
    await system.volumeBeing('db', 'healthy');
  });

  it('is finished by the next start when everything dies after it was recorded', async () => {
    await done('volume', 'resize', 'db', '--size', '80MiB', '--no-wait');
    await done('replica', 'add', 'db', '--no-wait');
    await system.kill9All();
    system = await LocalSystem.start(root, ['--no-demo']);
    // Nothing has to be said again.
    const until = performance.now() + 60_000;
    for (;;) {
      const list = await done('replica', 'list', 'db');
      const info = await done('volume', 'info', 'db', '-o', 'json');
      const { servedSize, size } = JSON.parse(info) as { servedSize: number | null; size: number };
      const settled = (list.match(/in-sync/g) ?? []).length === 3 && !list.includes('witness');
      if (settled && servedSize === null && size === 80 * MIB) break;
      if (performance.now() > until) throw new Error(`not settled: ${list}\n${info}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });
});
