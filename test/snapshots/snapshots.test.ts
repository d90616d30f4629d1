/**
 * Goal: a snapshot of a volume under load is one point in the order of its writes, on all replicas,
 * and stays it whatever is killed. Method: real daemons; a writer counts up through the blocks, one
 * write after the other, so that the volume tells which point it is at; other writes go on beside.
 */
import { expect } from 'chai';
import { firstDifference } from '../crash/images.ts';
import { openDisk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { controlFlags, listSnapshots, order } from './control.ts';
import { CountingLoad, pointOf } from './counting-load.ts';

const SIZE_BYTES = 64 * 1024 * 1024;
const BLOCK = 4096;

describe('snapshots of a volume on three replica processes', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume;
  let path: string;

  beforeEach(async () => {
    path = `${directory.path}/${Math.random().toString(36).slice(2, 8)}`;
    volume = await ReplicatedVolume.start({
      directory: path,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
      targetFlags: controlFlags(directory.path),
    });
  });
  afterEach(() => volume.stop());
  after(() => directory.remove());

  const sameLayer = async (layer: number): Promise<void> => {
    const file = `${String(layer).padStart(6, '0')}.img`;
    const paths = [0, 1, 2].map((index) => volume.imagePath(index).replace('000001.img', file));
    expect(await firstDifference(paths, SIZE_BYTES), `layer ${layer}`).to.equal(null);
  };

  it('are points in the order of writes, made under load within a second, and kept by a revert', async () => {
    const disk = await openDisk(volume.portal);
    const load = new CountingLoad(disk);
    load.start();
    const points: { name: string; least: number; most: number }[] = [];
    for (let index = 0; index < 6; index++) {
      const wanted = load.acknowledged + 200;
      while (load.acknowledged < wanted) await new Promise((resolve) => setTimeout(resolve, 5));
      const least = load.acknowledged;
      const { status, body } = await order(volume, 'POST', '/v1/snapshots', { name: `s${index}` });
      expect(status, JSON.stringify(body)).to.equal(200);
      expect(body['heldMs']).to.be.at.most(1_000);
      points.push({ name: `s${index}`, least, most: load.begun });
    }
    await load.stop();
    const used = await order(volume, 'POST', '/v1/snapshots/s1/revert', {});
    expect(used.status, 'refused while somebody is logged in').to.equal(409);
    await disk.session.logout();
    for (const { layer } of await listSnapshots(volume)) await sameLayer(layer);
    for (const { name, least, most } of points) {
      const reverted = await order(volume, 'POST', `/v1/snapshots/${name}/revert`, {
        keepAs: `before-${name}`,
      });
      expect(reverted.status, JSON.stringify(reverted.body)).to.equal(200);
      const again = await openDisk(volume.portal);
      expect(await pointOf(again)).to.be.within(least, most);
      await again.session.logout();
    }
    const names = (await listSnapshots(volume)).map(({ name }) => name);
    expect(names).to.have.length(12);
    // What the volume was at first.
    expect((await order(volume, 'POST', '/v1/snapshots/before-s0/revert', {})).status).to.equal(
      200,
    );
    const last = await openDisk(volume.portal);
    expect(await pointOf(last)).to.equal(load.acknowledged);
    await last.session.logout();
  });

  it('form a chain of 250, and no longer one', async () => {
    const disk = await openDisk(volume.portal);
    for (let index = 0; index < 250; index++) {
      await disk.write((index % 8) * BLOCK, Buffer.alloc(BLOCK, index + 1));
      const { status, body } = await order(volume, 'POST', '/v1/snapshots', { name: `s${index}` });
      expect(status, JSON.stringify(body)).to.equal(200);
    }
    const refused = await order(volume, 'POST', '/v1/snapshots', { name: 'one-more' });
    expect(refused.status).to.equal(409);
    for (let block = 0; block < 8; block++) {
      const value = 250 - ((249 - block) % 8);
      expect((await disk.read(block * BLOCK, BLOCK))[0]).to.equal(value & 0xff);
    }
    expect((await order(volume, 'DELETE', '/v1/snapshots/s100')).status).to.equal(200);
    expect((await order(volume, 'POST', '/v1/snapshots', { name: 'one-more' })).status).to.equal(
      200,
    );
    await disk.session.logout();
  });

  it('come to a replica that was away while they were made and deleted', async () => {
    const disk = await openDisk(volume.portal);
    const load = new CountingLoad(disk);
    load.start();
    const make = async (name: string): Promise<void> => {
      // An attempt that meets the loss of a replica is undone, and made again.
      for (let attempt = 0; ; attempt++) {
        const { status, body } = await order(volume, 'POST', '/v1/snapshots', { name });
        if (status === 200) return;
        if (attempt === 20) throw new Error(JSON.stringify(body));
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    };
    for (const name of ['a', 'b', 'c']) await make(name);
    await volume.replicas[1]!.daemon.kill9();
    await make('d');
    expect((await order(volume, 'DELETE', '/v1/snapshots/b')).status).to.equal(200);
    await make('e');
    await volume.startReplica(1);
    await volume.untilHealthy(60_000);
    await make('f');
    await load.stop();
    await disk.session.logout();
    // The one that was away serves alone.
    await volume.untilHealthy(60_000);
    for (const name of ['a', 'd', 'e', 'f']) {
      const { status, body } = await order(volume, 'POST', `/v1/snapshots/${name}/revert`, {
        keepAs: `before-${name}`,
      });
      expect(status, JSON.stringify(body)).to.equal(200);
      const again = await openDisk(volume.portal);
      await pointOf(again);
      await again.session.logout();
    }
  });
});
