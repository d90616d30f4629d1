import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { fill, Layered } from './layered.test-support.ts';
import { rejection } from './real-store.test-support.ts';

const blocks = [0, 1, 2, 3].map((extent) => (extent * EXTENT_BYTES) / BLOCK_BYTES);

/** Its first layer is about to be merged into the second one. */
const mergingOrigin = async () => {
  const origin = new Layered('one');
  await origin.open();
  for (const block of blocks) origin.write(block, block + 1);
  await origin.snapshot(2);
  for (const block of blocks) origin.write(block + 1, block + 2);
  await origin.snapshot(3);
  await origin.change({ change: 'delete', layer: 1 });
  const isMerging = (): boolean => origin.replica.disk.exists('000002-1.meta');
  // Used a little all the time, so that it merges one extent at a time.
  const pass = async (): Promise<void> => {
    origin.write(9, 9);
    origin.replica.moment();
    for (let turn = 0; turn < 5; turn += 1) await new Promise((done) => setImmediate(done));
  };
  return { origin, isMerging, pass };
};

describe('layers that a clone shares', () => {
  it('stay as they are in the clone when the origin deletes them', async () => {
    const origin = new Layered('one');
    await origin.open();
    for (let block = 0; block < 4; block += 1) origin.write(block, block + 1);
    await origin.snapshot(2);
    origin.write(1, 22);
    await origin.snapshot(3);
    origin.write(2, 33);
    const clone = new Layered('clone', 5);
    clone.replica.disk.siblings.set('origin', origin.replica.disk);
    clone.replica.cloneFrom = { directory: 'origin', layer: 3 };
    expect((await rejection(clone.open())).code).to.equal('LAYERS');
    clone.replica.cloneFrom = { directory: 'origin', layer: 2 };
    await clone.open();
    expect(clone.ids).to.deep.equal([1, 2, 3]);
    const { layers } = clone.replica.store.state();
    expect(layers.map(({ name }) => name)).to.deep.equal([null, null, null]);
    const { promisedEpoch } = origin.replica.store.state();
    expect(clone.replica.store.state().promisedEpoch).to.be.above(promisedEpoch);
    clone.write(3, 333);
    await origin.change({ change: 'delete', layer: 1 });
    await origin.change({ change: 'delete', layer: 2 });
    for (let turn = 0; turn < 40; turn += 1) {
      origin.replica.moment();
      await new Promise((done) => setImmediate(done));
    }
    // What a clone shares gives back no space, so it is not merged.
    expect(origin.ids).to.deep.equal([1, 2, 3]);
    for (const each of [origin, clone]) {
      await each.replica.close();
      await each.open();
    }
    expect(await Promise.all([0, 1, 2, 3].map((block) => clone.read(block)))).to.deep.equal([
      1, 22, 3, 333,
    ]);
    expect(await Promise.all([0, 1, 2, 3].map((block) => origin.read(block)))).to.deep.equal([
      1, 22, 33, 4,
    ]);
    // When the origin is gone, the clone needs its layers no longer one by one.
    await origin.replica.close();
    for (const name of origin.replica.disk.list()) origin.replica.disk.remove(name);
    await clone.replica.close();
    await clone.open();
    for (let turn = 0; turn < 400 && clone.ids.length > 1; turn += 1) {
      clone.replica.moment();
      await new Promise((done) => setImmediate(done));
    }
    expect(clone.ids).to.deep.equal([3]);
    expect(await Promise.all([0, 1, 2, 3].map((block) => clone.read(block)))).to.deep.equal([
      1, 22, 3, 333,
    ]);
  });

  it('may be in the middle of a merge, which the clone does not notice', async () => {
    const { origin, isMerging, pass } = await mergingOrigin();
    while (!isMerging()) await pass();
    await pass();
    expect(origin.ids).to.deep.equal([1, 2, 3]);
    const clone = new Layered('clone', 5);
    clone.replica.disk.siblings.set('origin', origin.replica.disk);
    clone.replica.cloneFrom = { directory: 'origin', layer: 2 };
    await clone.open();
    for (let turn = 0; turn < 200 && origin.ids.length > 2; turn += 1) await pass();
    expect(origin.ids).to.deep.equal([2, 3]);
    clone.write(0, 77);
    for (const each of [origin, clone]) {
      await each.replica.close();
      await each.open();
    }
    const wanted = blocks.flatMap((block) => [block + 1, block + 2]);
    const read = (from: Layered): Promise<unknown[]> =>
      Promise.all(blocks.flatMap((block) => [from.read(block), from.read(block + 1)]));
    expect(await read(origin)).to.deep.equal(wanted);
    expect(await read(clone)).to.deep.equal([77, ...wanted.slice(1)]);
    expect(clone.ids).to.deep.equal([1, 2, 3]);
    expect(clone.replica.warnings).to.deep.equal([]);
  });

  it('stay as they are in the clone when the origin has to fill one anew', async () => {
    const [source, away] = [new Layered('one'), new Layered('two', 2)];
    for (const each of [source, away]) {
      await each.open();
      for (let block = 0; block < 4; block += 1) each.write(block, block + 1);
    }
    source.write(1, 11);
    for (const each of [source, away]) await each.snapshot(2);
    const clone = new Layered('clone', 5);
    clone.replica.disk.siblings.set('origin', away.replica.disk);
    clone.replica.cloneFrom = { directory: 'origin', layer: 1 };
    await clone.open();
    const { layers } = source.replica.store.state();
    const doubted = layers.map((each) => ({ ...each, complete: each.id !== 1 }));
    await away.change({ change: 'adopt', head: 2, layers: doubted });
    await fill(source, away, 1);
    clone.write(0, 77);
    for (const each of [away, clone]) {
      await each.replica.close();
      await each.open();
    }
    const read = (from: Layered): Promise<unknown[]> =>
      Promise.all([0, 1, 2, 3].map((block) => from.read(block)));
    expect(await read(away)).to.deep.equal([1, 11, 3, 4]);
    expect(await read(clone)).to.deep.equal([77, 2, 3, 4]);
    expect(away.replica.disk.list().filter((name) => name.startsWith('000001'))).to.have.members([
      '000001-1.img',
      '000001-1.meta',
    ]);
  });

  it('leave nothing of a merge that was given up and may not begin anew', async () => {
    const { origin, isMerging, pass } = await mergingOrigin();
    while (!isMerging()) await pass();
    const clone = new Layered('clone', 5);
    clone.replica.disk.siblings.set('origin', origin.replica.disk);
    clone.replica.cloneFrom = { directory: 'origin', layer: 2 };
    await clone.open();
    // For a change of the layers merges are given up, also where nothing is changed.
    await origin.change({ change: 'rename', layer: 2, name: 'before 3' });
    expect(isMerging()).to.equal(false);
    expect(origin.ids).to.deep.equal([1, 2, 3]);
    for (const block of blocks) expect(await origin.read(block)).to.equal(block + 1);
  });
});
