import { linkSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { PAGE_BYTES, PAGE_LAYOUT } from './extent-page.ts';
import { numberedSectors } from './simulated-volume.ts';
import type { LayerFill } from './types.ts';
import { RealStore, removeDirectory, temporaryDirectory } from './real-store.test-support.ts';

const SIZE_BYTES = 4 * EXTENT_BYTES;
const AT = '2026-01-01T00:00:00.000Z';

/**
 * Method: real files of three layers. The oldest has blocks 0 to 3; of those the one in the middle
 * unmaps 1 and 2, and in extent 1 block 0. Its pages are damaged while the store is closed.
 */
describe('a rotten extent page of a frozen layer', () => {
  let one: RealStore;

  beforeEach(async () => {
    one = new RealStore(temporaryDirectory(), SIZE_BYTES);
    await one.open();
    for (let block = 0; block < 4; block += 1) one.write(block + 1, block * BLOCK_BYTES);
    one.write(50, EXTENT_BYTES);
    await snapshot(2);
    one.unmap(BLOCK_BYTES, 2 * BLOCK_BYTES);
    one.write(9, 3 * BLOCK_BYTES);
    one.unmap(EXTENT_BYTES, BLOCK_BYTES);
    one.write(8, 2 * EXTENT_BYTES);
    await snapshot(3);
    expect(await one.flush()).to.equal('none');
  });

  afterEach(async () => {
    await one.close();
    removeDirectory(one.directory);
  });

  const snapshot = (head: number): Promise<void> =>
    one.store.changeLayers({ change: 'snapshot', head, name: `before ${head}`, createdAt: AT });

  const reopen = async (
    offset: number,
    bytes: Uint8Array,
    extents: readonly number[] = [0, 1],
  ): Promise<void> => {
    await one.close();
    for (const extent of extents) one.overwrite('000002.meta', extent * PAGE_BYTES + offset, bytes);
    await one.open();
  };

  it('that is sound hides what was unmapped', async () => {
    await one.close();
    await one.open();
    expect(await one.read(0)).to.equal(1);
    expect(await one.read(BLOCK_BYTES)).to.equal(0);
    expect(await one.read(3 * BLOCK_BYTES)).to.equal(9);
    expect(await one.read(EXTENT_BYTES)).to.equal(0);
  });

  for (const [what, offset, bytes] of [
    ['in what it hides', PAGE_LAYOUT.hidden.offset, Uint8Array.of(0xff)],
    ['in its magic', 0, Uint8Array.of(0)],
    ['everywhere', 0, new Uint8Array(PAGE_BYTES).fill(0xa5)],
  ] as const)
    it(`never lets an older layer show: ${what}`, async () => {
      await reopen(offset, bytes);
      const blocks = [1, 2, 3].map((block) => block * BLOCK_BYTES);
      for (const at of [...blocks, EXTENT_BYTES])
        expect([await one.read(at), at]).to.deep.equal(['CHECKSUM_MISMATCH', at]);
    });

  for (const bytes of [512, PAGE_BYTES])
    it(`never lets an older layer show: ${bytes} zeroes where the layer has data`, async () => {
      await one.close();
      one.overwrite('000002.meta', 0, new Uint8Array(bytes));
      await one.open();
      for (const at of [1, 2, 3].map((block) => block * BLOCK_BYTES))
        expect([await one.read(at), at]).to.deep.equal(['CHECKSUM_MISMATCH', at]);
    });

  it('never lets an older layer show: zeroes where the layer only hides', async () => {
    await one.close();
    one.overwrite('000002.meta', 0, new Uint8Array(2 * PAGE_BYTES));
    await one.open();
    expect(await one.read(EXTENT_BYTES)).to.equal('CHECKSUM_MISMATCH');
  });

  it('whose hidden blocks are known keeps them hidden, and shows what it never held', async () => {
    await reopen(PAGE_LAYOUT.checksums.offset + 4 * 3, Uint8Array.of(0xff));
    expect(await one.read(0)).to.equal(1);
    expect(await one.read(BLOCK_BYTES)).to.equal(0);
    expect(await one.read(3 * BLOCK_BYTES)).to.equal('CHECKSUM_MISMATCH');
    expect(await one.read(EXTENT_BYTES)).to.equal(0);
  });

  it('is counted by a scrub as bad wherever the layer would be seen', async () => {
    await reopen(PAGE_LAYOUT.hidden.offset, Uint8Array.of(0xff));
    one.write(7, 5 * BLOCK_BYTES);
    const bad = await new Promise<Uint8Array>((resolve) => {
      one.store.scrub(0, (_error, found) => resolve(found.bad));
    });
    expect([...bad].slice(0, 2)).to.deep.equal([0xff & ~(1 << 5), 0xff]);
  });

  for (const [what, offset] of [
    ['what it hides', PAGE_LAYOUT.hidden.offset],
    ['a checksum', PAGE_LAYOUT.checksums.offset],
  ] as const)
    it(`is not told to a replica that copies the layer: ${what}`, async () => {
      await reopen(offset, Uint8Array.of(0xff));
      expect(() => one.store.layerAllocation(2, 0, SIZE_BYTES)).to.throw(/damaged/);
      expect(() => one.store.layerChecksums(2, 1)).to.throw(/damaged/);
    });

  describe('gets its extent anew', () => {
    const LAYER = 2;
    const EXTENT = { offsetBytes: 0, lengthBytes: EXTENT_BYTES };

    const fill = (content: LayerFill): Promise<string> =>
      new Promise((resolve) => {
        one.store.fillLayer(LAYER, content, (error) => resolve(error?.code ?? 'done'));
      });

    const block = (value: number, at: number): Promise<string> => {
      const data = numberedSectors(value, BLOCK_BYTES);
      const checksums = Buffer.alloc(4);
      checksums.writeUInt32LE(crc32(data));
      const range = { offsetBytes: at * BLOCK_BYTES, lengthBytes: BLOCK_BYTES };
      return fill({ kind: 'write', ...range, chunks: [data], checksums });
    };

    const hide = (from: number, blocks: number): Promise<string> =>
      fill({
        kind: 'zero',
        offsetBytes: from * BLOCK_BYTES,
        lengthBytes: blocks * BLOCK_BYTES,
      });

    const expectContent = async (): Promise<void> => {
      const found = [];
      for (const at of [0, 1, 2, 3, 4]) found.push(await one.read(at * BLOCK_BYTES));
      expect(found).to.deep.equal([1, 0, 0, 9, 0]);
    };

    const scrubbed = (): Promise<ReadonlyMap<number, Uint8Array>> =>
      new Promise((resolve) => one.store.scrub(0, (_error, found) => resolve(found.layers)));

    it('and holds then what it held, also after a restart', async () => {
      await reopen(0, new Uint8Array(PAGE_BYTES).fill(0xa5));
      expect([...(await scrubbed()).keys()]).to.deep.equal([LAYER]);
      expect(await fill({ kind: 'reset', ...EXTENT })).to.equal('done');
      expect(await hide(1, 2)).to.equal('done');
      expect(await block(9, 3)).to.equal('done');
      expect(await fill({ kind: 'seal', ...EXTENT })).to.equal('done');
      await expectContent();
      expect((await scrubbed()).size).to.equal(0);
      await one.close();
      await one.open();
      await expectContent();
    });

    it('and is as unreadable as before while it is filled, and where that was given up', async () => {
      await reopen(0, new Uint8Array(PAGE_BYTES));
      await fill({ kind: 'reset', ...EXTENT });
      await hide(0, 4);
      expect(await one.read(3 * BLOCK_BYTES)).to.equal('CHECKSUM_MISMATCH');
      await one.close();
      await one.open();
      expect(await one.read(3 * BLOCK_BYTES)).to.equal('CHECKSUM_MISMATCH');
      expect(await fill({ kind: 'seal', ...EXTENT })).to.equal('LAYERS');
    });

    it('only where it is damaged, whole, and its own', async () => {
      expect(await fill({ kind: 'reset', ...EXTENT })).to.equal('LAYERS');
      await reopen(0, new Uint8Array(PAGE_BYTES).fill(0xa5));
      expect(await fill({ kind: 'reset', ...EXTENT, lengthBytes: BLOCK_BYTES })).to.equal(
        'OUT_OF_RANGE',
      );
      expect(await block(9, 3)).to.equal('LAYERS');
      linkSync(`${one.directory}/000002.img`, `${one.directory}/of-a-clone`);
      expect((await scrubbed()).size).to.equal(0);
      expect(await fill({ kind: 'reset', ...EXTENT })).to.equal('LAYERS');
    });
  });

  it('of a layer that is being filled is written, also where no block differs', async () => {
    const [oldest, middle, head] = one.store.state().layers;
    const layers = [oldest!, { ...middle!, complete: false }, head!];
    await one.store.changeLayers({ change: 'adopt', head: 3, layers });
    await reopen(0, new Uint8Array(PAGE_BYTES).fill(0xa5), [0, 1, 2]);
    // As a source is compared with it. What was hidden is not known, and is told anew.
    one.store.layerAllocation(2, 0, SIZE_BYTES);
    for (const [offsetBytes, blocks] of [
      [BLOCK_BYTES, 2],
      [EXTENT_BYTES, 1],
    ] as const)
      await new Promise((resolve) => {
        const range = { offsetBytes, lengthBytes: blocks * BLOCK_BYTES };
        one.store.fillLayer(2, { kind: 'zero', ...range }, resolve);
      });
    one.store.layerAllocation(2, 0, SIZE_BYTES);
    await one.store.changeLayers({ change: 'complete', layer: 2 });
    await one.close();
    await one.open();
    expect(await one.read(3 * BLOCK_BYTES)).to.equal(9);
    expect(await one.read(BLOCK_BYTES)).to.equal(0);
    expect(await one.read(EXTENT_BYTES)).to.equal(0);
    expect(await one.read(2 * EXTENT_BYTES)).to.equal(8);
    expect(one.store.layerChecksums(2, 1).some((byte) => byte !== 0)).to.equal(false);
  });
});
