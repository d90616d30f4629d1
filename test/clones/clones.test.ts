/**
 * Goal: a clone holds what its snapshot held, shares its space, and from then on neither volume
 * notices the other, whatever is written, deleted or killed. Method: npm start and mayactl, real
 * daemons, a writing load on the origin; the file system tells what is shared.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { LocalSystem } from '../local/local-system.ts';
import { CountingLoad, pointOf } from '../snapshots/counting-load.ts';
import { Random } from '../support/random.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;

/** Of files with several names counted once. */
const diskUsage = (directories: readonly string[]): number => {
  const seen = new Map<number, number>();
  for (const directory of directories) {
    for (const name of readdirSync(directory)) {
      const { ino, blocks } = statSync(join(directory, name));
      seen.set(ino, blocks * 512);
    }
  }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
};

describe('a clone', function () {
  this.timeout(240_000);
  let root: string;
  let system: LocalSystem;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-clone-'));
    system = await LocalSystem.start(root, ['--no-demo']);
    await run('volume', 'create', 'origin', '--size', '64MiB');
  });
  afterEach(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await system.mayactl(...args);
    expect(code, `mayactl ${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };

  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await system.mayactl(...args);
    expect(code, stderr).to.be.above(0);
    return stderr;
  };

  const restart = async (): Promise<void> => {
    system = await LocalSystem.start(root, ['--no-demo']);
  };

  const directories = async (name: string): Promise<string[]> =>
    (await system.volume(name)).replicas.map(({ directory }) => directory);

  /** The point in the order of writes that a volume is at. */
  const point = async (name: string): Promise<number> => {
    const disk = await system.disk(name);
    try {
      return await pointOf(disk);
    } finally {
      await disk.session.logout();
    }
  };

  /** Goes on counting by so much, and returns where that is. */
  const count = async (name: string, from: number, writes: number): Promise<number> => {
    const disk = await system.disk(name);
    const load = new CountingLoad(disk, from);
    load.start();
    while (load.acknowledged < from + writes) await delay(5);
    await load.stop();
    await disk.session.logout();
    return load.acknowledged;
  };

  it('is what its snapshot is, made while the origin is written; then each goes its own way', async () => {
    const disk = await system.disk('origin');
    const load = new CountingLoad(disk);
    load.start();
    while (load.acknowledged < 200) await delay(5);
    const least = load.acknowledged;
    await run('snapshot', 'create', 'origin', 'monday');
    const most = load.begun;
    const made = await run('clone', 'create', 'copy', '--from', 'origin', '--snapshot', 'monday');
    expect(made).to.include('volume copy serves, a clone of origin@monday');
    expect(load.begun, 'the origin was written meanwhile').to.be.above(most);
    const cloned = await point('copy');
    expect(cloned).to.be.within(least, most);
    await load.stop();
    await disk.session.logout();

    const shown = await system.volume('copy');
    expect(shown).to.deep.include({ inSyncCount: 3, size: 64 * MIB });
    expect(shown.source).to.include({ volume: 'origin', snapshot: 'monday' });
    expect(await run('volume', 'info', 'copy')).to.match(/^Clone Of +: origin@monday$/m);
    expect(await run('volume', 'list')).to.match(/ copy +healthy +clone /);
    expect(await run('snapshot', 'list', 'copy')).to.include('No snapshots yet');
    // Every replica of the clone shares the blocks of one of the origin.
    const [mine, theirs] = [await directories('copy'), await directories('origin')];
    const alone = diskUsage(theirs);
    expect(alone).to.be.above(3 * 16 * MIB);
    expect(diskUsage([...theirs, ...mine]) - alone).to.be.below(6 * MIB);
    for (const directory of mine) {
      expect(statSync(join(directory, '000001.img')).nlink, directory).to.equal(2);
    }

    const mineNow = await count('copy', cloned, 150);
    expect(await point('origin')).to.equal(load.acknowledged);
    const theirsNow = await count('origin', load.acknowledged, 150);
    expect(await point('copy')).to.equal(mineNow);

    // What is deleted of the origin is still the clone's, and the other way round.
    await run('snapshot', 'delete', 'origin', 'monday');
    await run('clone', 'create', 'second', '--from', 'copy');
    await run('volume', 'delete', 'copy', '--yes');
    expect(await point('second')).to.equal(mineNow);
    expect(await point('origin')).to.equal(theirsNow);
    await system.kill9All();
    await restart();
    await system.volumeBeing('second', 'healthy');
    await run('volume', 'delete', 'origin', '--yes');
    expect(await point('second')).to.equal(mineNow);
    await count('second', mineNow, 100);
  });

  it('of a chain of snapshots stays what it is while those below it are merged in the origin', async () => {
    let now = 0;
    for (const name of ['a', 'b', 'c']) {
      now = await count('origin', now, 70);
      await run('snapshot', 'create', 'origin', name);
    }
    // The merge of `a` into `b` begins, and the clone may meet it.
    await run('snapshot', 'delete', 'origin', 'a');
    await run('clone', 'create', 'copy', '--from', 'origin', '--snapshot', 'c', '--size', '96MiB');
    await run('snapshot', 'delete', 'origin', 'b');
    await run('snapshot', 'delete', 'origin', 'c');
    const later = await count('origin', now, 70);
    expect(await point('copy')).to.equal(now);
    const disk = await system.disk('copy');
    expect((await disk.read(80 * MIB, BLOCK)).equals(Buffer.alloc(BLOCK))).to.equal(true);
    await disk.write(95 * MIB, Buffer.alloc(BLOCK, 9));
    await disk.session.logout();
    await system.stop();
    await restart();
    await system.volumeBeing('copy', 'healthy');
    await system.volumeBeing('origin', 'healthy');
    expect(await point('copy')).to.equal(now);
    expect(await point('origin')).to.equal(later);
    const scrubbed = await run('volume', 'scrub', 'copy', '--watch');
    expect(scrubbed).to.equal('volume copy is sound\n');
  });

  it('fills a replica that was lost, or is added, from its own others, with all layers', async () => {
    const now = await count('origin', 0, 150);
    await run('snapshot', 'create', 'origin', 's');
    await run('clone', 'create', 'copy', '--from', 'origin', '--snapshot', 's');
    const own = await count('copy', now, 10);
    await run('snapshot', 'create', 'copy', 'mine');
    const last = await count('copy', own, 10);
    const [, second = ''] = await directories('copy');
    await system.stop();
    rmSync(second, { recursive: true });
    await restart();
    await system.volumeBeing('copy', 'healthy');
    for (const file of readdirSync(second)) {
      expect(statSync(join(second, file)).nlink, file).to.equal(1);
    }
    await run('replica', 'add', 'copy');
    // The new ones alone hold everything.
    for (const gone of ['replica-1', 'replica-3']) await run('replica', 'remove', 'copy', gone);
    expect(await point('copy')).to.equal(last);
    await run('snapshot', 'revert', 'copy', 'mine');
    expect(await point('copy')).to.equal(own);
    expect(await point('origin')).to.equal(now);
  });

  it('is refused in words where the origin cannot give it', async () => {
    await run('snapshot', 'create', 'origin', 's');
    const from = ['clone', 'create', 'copy', '--from', 'origin', '--snapshot'];
    expect(await refused(...from, 'none')).to.include('has no snapshot none');
    expect(await refused(...from, 's', '--size', '32MiB')).to.include('64 MiB');
    expect(await refused(...from, 's', '--replicas', '4')).to.match(/has 3 replicas in sync.*4/s);
    expect(await refused('clone', 'create', 'copy', '--from', 'nobody')).to.include('nobody');
    expect(await refused('clone', 'create', 'origin', '--from', 'origin')).to.include('already');
    expect(await run('volume', 'list', '-o', 'name')).to.equal('origin\n');
    expect(readdirSync(join(root, 'volumes'))).to.deep.equal(['origin']);
    await run(...from, 's', '--replicas', '1');
    expect(await system.volume('copy')).to.include({ replicaCount: 1, inSyncCount: 1 });
  });

  it('is whole or not there when everything is killed while it is made', async () => {
    const now = await count('origin', 0, 100);
    await run('snapshot', 'create', 'origin', 's');
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const outcomes = { whole: 0, nothing: 0 };
    for (let round = 0; round < 5; round++) {
      const name = `copy-${round}`;
      const making = system.mayactl('clone', 'create', name, '--from', 'origin', '--snapshot', 's');
      const directory = join(root, 'volumes', name);
      await until('it begins', () => existsSync(directory));
      // Before it is there for users in one half, after it in the other.
      const isLate = round % 2 === 1;
      if (isLate) await until('it is there', () => readdirSync(directory).includes('volume.json'));
      await delay(random.below(isLate ? 100 : 400));
      await system.kill9All();
      await making;
      await restart();
      await system.volumeBeing('origin', 'healthy');
      const listed = (await run('volume', 'list', '-o', 'name')).includes(`${name}\n`);
      expect(existsSync(directory), `seed ${seed}`).to.equal(listed);
      outcomes[listed ? 'whole' : 'nothing']++;
      if (!listed) continue;
      await system.volumeBeing(name, 'healthy');
      expect(await point(name), `seed ${seed}`).to.equal(now);
      await run('volume', 'delete', name, '--yes');
    }
    console.log(`      ${outcomes.whole} whole, ${outcomes.nothing} nothing`);
    expect(await point('origin')).to.equal(now);
  });
});
