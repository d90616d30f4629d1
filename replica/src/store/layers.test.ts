import { expect } from 'chai';
import { crc32 } from '../protocol/checksum.ts';
import type { ScrubAnswer } from '../protocol/scrub-answer.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import type { LayersChange } from '../protocol/types.ts';
import { numberedSectors } from './simulated-volume.ts';
import { rejection } from './real-store.test-support.ts';

import { AT, fill, Layered, SIZE_BYTES } from './layered.test-support.ts';

describe('the layers of a store', () => {
  it('may be 250, and each reads as it was frozen', async () => {
    const one = new Layered('one', 3, 2 * EXTENT_BYTES);
    await one.open();
    for (let layer = 1; layer <= 250; layer += 1) {
      one.write(layer, layer);
      one.write(300, layer);
      await one.snapshot(layer + 1);
    }
    await one.replica.close();
    await one.open();
    expect(one.ids).to.have.length(251);
    for (const block of [1, 125, 250]) expect(await one.read(block)).to.equal(block);
    expect(await one.read(300)).to.equal(250);
    await one.change({ change: 'revert', head: 252, to: 100, name: 'all', createdAt: AT });
    expect(await one.read(100)).to.equal(100);
    expect(await one.read(101)).to.equal(0);
    expect(await one.read(300)).to.equal(100);
  }).timeout(60_000);

  it('are the same when a change is repeated, and refuse what makes no sense', async () => {
    const one = new Layered('one');
    await one.open();
    one.write(1, 1);
    await one.snapshot(2);
    await one.snapshot(2);
    expect(one.ids).to.deep.equal([1, 2]);
    const refused = async (change: LayersChange): Promise<void> => {
      expect((await rejection(one.change(change))).code).to.equal('LAYERS');
    };
    await refused({ change: 'snapshot', head: 3, name: 'before 2', createdAt: AT });
    await refused({ change: 'snapshot', head: 1, name: 'x', createdAt: AT });
    await refused({ change: 'revert', head: 3, to: 7, name: 'x', createdAt: AT });
    await refused({ change: 'rename', layer: 2, name: 'x' });
    one.write(1, 2);
    await refused({ change: 'undo', head: 2 });
    await one.change({ change: 'delete', layer: 9 });
    expect(await one.read(1)).to.equal(2);
  });

  it('change at their place among the writes, however long they take', async () => {
    const one = new Layered('one');
    await one.open();
    one.write(1, 1);
    const made = one.snapshot(2);
    const undone = one.change({ change: 'undo', head: 2 });
    one.write(1, 2);
    await Promise.all([made, undone]);
    expect(one.ids).to.deep.equal([1]);
    const again = one.snapshot(3);
    one.write(1, 3);
    const reverted = one.change({ change: 'revert', head: 4, to: 1, name: 'c', createdAt: AT });
    one.write(2, 4);
    await Promise.all([again, reverted]);
    expect([await one.read(1), await one.read(2)]).to.deep.equal([2, 4]);
    const begun = one.snapshot(5);
    const late = rejection(one.change({ change: 'undo', head: 5 }));
    await one.replica.promise(2);
    expect((await late).code).to.equal('EPOCH_STALE');
    await Promise.allSettled([begun]);
    await one.replica.close();
    await one.open();
    expect([await one.read(1), await one.read(2)]).to.deep.equal([2, 4]);
  });

  it('are undone although the new head was read', async () => {
    const one = new Layered('one');
    await one.open();
    one.write(1, 1);
    await one.snapshot(2);
    expect(await one.read(1)).to.equal(1);
    await one.change({ change: 'undo', head: 2 });
    expect(one.ids).to.deep.equal([1]);
    expect(await one.read(1)).to.equal(1);
  });

  it('give back a deleted snapshot into the head while it is written', async () => {
    const one = new Layered('one');
    await one.open();
    for (let block = 0; block < 40; block += 1) one.write(block * 20, block + 1);
    await one.snapshot(2);
    one.unmap(20);
    one.write(40, 99);
    await one.change({ change: 'delete', layer: 1 });
    one.write(60, 77);
    await one.rest(1);
    await one.replica.close();
    await one.open();
    expect(one.ids).to.deep.equal([2]);
    const expected = new Map([[20, 0], [40, 99], [60, 77]]); // prettier-ignore
    for (let block = 0; block < 40; block += 1)
      expect(await one.read(block * 20)).to.equal(expected.get(block * 20) ?? block + 1);
  });

  it('tell what they take and what deleting them would give back', async () => {
    const one = new Layered('one');
    await one.open();
    for (let block = 0; block < 8; block += 1) one.write(block, 1);
    await one.snapshot(2);
    for (let block = 0; block < 3; block += 1) one.write(block, 2);
    await one.snapshot(3);
    one.replica.store.layerUsage();
    for (let each = 0; each < 8; each += 1) await new Promise((done) => setImmediate(done));
    const [lower] = one.replica.store.layerUsage();
    expect(lower).to.deep.equal({
      id: 1,
      sizeBytes: SIZE_BYTES,
      allocatedBytes: 8 * BLOCK_BYTES,
      freedBytes: 3 * BLOCK_BYTES,
    });
  });

  it('tell what they take at every moment of a change', async () => {
    const layered = new Layered('asked');
    await layered.open();
    layered.write(0, 1);
    expect(await layered.read(0)).to.equal(1);
    for (const change of [
      { change: 'snapshot', head: 2, name: 'a', createdAt: AT },
      { change: 'undo', head: 2 },
      { change: 'snapshot', head: 3, name: 'b', createdAt: AT },
      { change: 'revert', head: 4, to: 1, name: 'c', createdAt: AT },
    ] as const) {
      const state = { changing: true };
      const changed = layered.change(change).finally(() => (state.changing = false));
      while (state.changing) {
        expect(layered.replica.store.counters().allocatedBytes).to.equal(BLOCK_BYTES);
        expect(layered.replica.store.layerUsage().length).to.be.greaterThan(0);
        await new Promise(setImmediate);
      }
      await changed;
    }
  });

  it('come to a replica that was away, whatever it had written meanwhile', async () => {
    const [source, away] = [new Layered('one'), new Layered('two', 2)];
    for (const each of [source, away]) {
      await each.open();
      for (let block = 0; block < 10; block += 1) each.write(block, block + 1);
    }
    // Never acknowledged, and to be rolled back.
    away.write(5, 500);
    away.write(700, 501);
    away.replica.killProcess();
    source.unmap(2);
    await source.snapshot(2);
    source.write(3, 33);
    source.unmap(4);
    await source.snapshot(3);
    source.write(6, 66);
    await away.open();
    const { layers } = source.replica.store.state();
    const adopt: LayersChange = { change: 'adopt', head: 3, layers };
    await away.change(adopt);
    expect(away.replica.versionText(0)).to.equal('unknown');
    await fill(source, away, 1);
    away.replica.losePower();
    await away.open();
    await away.change(adopt);
    await fill(source, away, 2);
    expect(away.replica.store.state().layers).to.deep.equal(layers);
    for (const layer of [1, 2])
      for (const extent of [0, 2]) {
        const sums = source.replica.store.layerChecksums(layer, extent);
        expect(away.replica.store.layerChecksums(layer, extent)).to.deep.equal(sums);
      }
    for (const block of [0, 1, 2, 3, 4, 5, 7, 700])
      expect(await away.read(block), `block ${block}`).to.equal(await source.read(block));
    expect(await away.read(6)).to.equal(7);
  });

  it('keep what was frozen although a bit of it rots, and say where', async () => {
    const one = new Layered('one');
    await one.open();
    one.write(10, 1);
    one.write(11, 2);
    await one.snapshot(2);
    one.write(11, 3);
    const file = one.replica.disk.open('000001.img');
    file.write(Uint8Array.of(0xff), 10 * BLOCK_BYTES);
    file.write(Uint8Array.of(0xff), 11 * BLOCK_BYTES);
    expect(await one.read(10)).to.equal('CHECKSUM_MISMATCH');
    expect(await one.read(11)).to.equal(3);
    const scrub = () =>
      new Promise<ScrubAnswer>((resolve) =>
        one.replica.store.scrub(0, (_error, found) => resolve(found)),
      );
    const { bad, layers } = await scrub();
    // Of block 11 only the hidden version is bad, so a write would heal nothing.
    expect([...bad].flatMap((byte, at) => (byte === 0 ? [] : [[byte, at]]))).to.deep.equal([
      [1 << 2, 1],
    ]);
    expect([...layers.keys()]).to.deep.equal([1]);
    expect(layers.get(1)![1]).to.equal((1 << 2) | (1 << 3));
    expect(one.replica.store.counters().scrubErrors).to.equal(2);

    const mend = (block: number, content: Uint8Array) =>
      new Promise((resolve) => {
        const range = { offsetBytes: block * BLOCK_BYTES, lengthBytes: BLOCK_BYTES };
        const checksums = Buffer.alloc(4);
        checksums.writeUInt32LE(crc32(content));
        const fill = { kind: 'write', ...range, chunks: [content], checksums } as const;
        one.replica.store.fillLayer(1, fill, (error) => resolve(error?.code ?? null));
      });
    expect(await mend(10, numberedSectors(2, BLOCK_BYTES))).to.equal('LAYERS');
    expect(await mend(12, numberedSectors(1, BLOCK_BYTES))).to.equal('LAYERS');
    expect(await mend(10, numberedSectors(1, BLOCK_BYTES))).to.equal(null);
    expect(await mend(11, numberedSectors(2, BLOCK_BYTES))).to.equal(null);
    expect(await one.read(10)).to.equal(1);
    expect((await scrub()).layers.size).to.equal(0);
    expect((await scrub()).bad.every((byte) => byte === 0)).to.equal(true);
  });
});
