import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { PAGE_BYTES, PAGE_LAYOUT } from './extent-page.ts';
import { RealStore, removeDirectory, temporaryDirectory } from './real-store.test-support.ts';
import { SUPERBLOCK } from './superblock.ts';

const SIZE_BYTES = 4 * EXTENT_BYTES + 3 * BLOCK_BYTES;

/** Method: real files, damaged behind the store's back while it runs. */
describe('a scrub', () => {
  let one: RealStore;

  beforeEach(async () => {
    one = new RealStore(temporaryDirectory(), SIZE_BYTES);
    await one.open();
    for (let block = 0; block < 80; block += 1) one.write(block + 1, block * BLOCK_BYTES);
    one.write(50, EXTENT_BYTES + 9 * BLOCK_BYTES);
    one.write(51, 4 * EXTENT_BYTES + 2 * BLOCK_BYTES);
    expect(await one.flush()).to.equal('none');
  });

  afterEach(async () => {
    await one.close();
    removeDirectory(one.directory);
  });

  /** The bad blocks; or the code of the error. */
  const scrub = (extent: number): Promise<number[] | string> =>
    new Promise((resolve) => {
      one.store.scrub(extent, (error, { bad }) => {
        const blocks = Array.from({ length: 8 * bad.length }, (_, block) => block);
        resolve(
          error?.code ?? blocks.filter((block) => ((bad[block >>> 3] ?? 0) >>> (block & 7)) & 1),
        );
      });
    });

  const reopen = async (): Promise<void> => {
    await one.close();
    await one.open();
  };

  it('of a sound copy finds nothing, also in what was never written', async () => {
    for (let extent = 0; extent < 5; extent += 1) expect(await scrub(extent)).to.deep.equal([]);
    const { scrubbedBytes, scrubErrors, damagedSlots } = one.store.counters();
    expect(scrubbedBytes).to.equal(82 * BLOCK_BYTES);
    expect([scrubErrors, damagedSlots]).to.deep.equal([0, 0]);
  });

  it('finds every rotten block of an extent', async () => {
    for (const block of [0, 31, 32, 79])
      one.overwrite('000001.img', block * BLOCK_BYTES + 7, Uint8Array.of(0xee));
    expect(await scrub(0)).to.deep.equal([0, 31, 32, 79]);
    expect(one.store.counters().scrubErrors).to.equal(4);
    one.overwrite('000001.img', 4 * EXTENT_BYTES + 2 * BLOCK_BYTES, Uint8Array.of(0xee));
    expect(await scrub(4)).to.deep.equal([2]);
  });

  it('finds data where the bitmap has none: a page that was lost after its block', async () => {
    one.overwrite('000001.img', EXTENT_BYTES + 200 * BLOCK_BYTES, Uint8Array.of(1));
    expect(await scrub(1)).to.deep.equal([200]);
  });

  it('takes zeroes where the bitmap has none for what they read as', async () => {
    one.overwrite('000001.img', EXTENT_BYTES + 200 * BLOCK_BYTES, new Uint8Array(BLOCK_BYTES));
    expect(await scrub(1)).to.deep.equal([]);
  });

  it('believes nothing of an extent whose page has rotted', async () => {
    await one.close();
    one.overwrite('000001.meta', PAGE_LAYOUT.allocated.offset, Uint8Array.of(0));
    await one.open();
    expect(await scrub(0)).to.have.length(256);
    expect(await scrub(1)).to.deep.equal([]);
  });

  it('writes a page again that rotted while the store had it in memory', async () => {
    await reopen();
    expect(await one.read(0)).to.equal(1);
    one.overwrite('000001.meta', PAGE_LAYOUT.checksums.offset, Uint8Array.of(0xff, 0xff));
    expect(await scrub(0)).to.deep.equal([]);
    expect(one.store.counters().scrubErrors).to.equal(1);
    expect(one.warnings.join()).to.match(/stored checksums of extent 0 had rotted/);
    await reopen();
    expect(await scrub(0)).to.deep.equal([]);
    expect(one.store.counters().damagedPages).to.equal(0);
  });

  it('writes the page of zeroes again when rot came into it', async () => {
    await reopen();
    expect(await one.read(3 * EXTENT_BYTES)).to.equal(0);
    one.overwrite('000001.meta', 3 * PAGE_BYTES + 100, Uint8Array.of(0xff));
    expect(await scrub(3)).to.deep.equal([]);
    await reopen();
    expect(await scrub(3)).to.deep.equal([]);
    expect(one.store.counters().damagedPages).to.equal(0);
  });

  for (const file of ['superblock', 'activity'])
    it(`writes the slots of ${file} again when one has rotted, and when both have`, async () => {
      const slotBytes = file === 'superblock' ? SUPERBLOCK.slotBytes : 16 * 1024;
      one.overwrite(file, slotBytes + 70, Uint8Array.of(0xff, 0xfe));
      expect(await scrub(0)).to.deep.equal([]);
      expect(one.store.counters().damagedSlots).to.equal(1);
      one.overwrite(file, 70, Uint8Array.of(0xff, 0xfe));
      one.overwrite(file, slotBytes + 70, Uint8Array.of(0xff, 0xfe));
      expect(await scrub(0)).to.deep.equal([]);
      expect(one.store.counters().damagedSlots).to.equal(3);
      await reopen();
      expect(one.store.counters().damagedSlots).to.equal(0);
      expect(await one.read(0)).to.equal(1);
    });

  it('does not take a write that overtakes it for rot', async () => {
    const scrubs = Promise.all([scrub(0), scrub(0), scrub(0)]);
    for (let round = 0; round < 20; round += 1) {
      for (let block = 0; block < 80; block += 1) one.write(100 + round, block * BLOCK_BYTES);
      one.unmap(16 * BLOCK_BYTES, 16 * BLOCK_BYTES);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await scrubs).to.deep.equal([[], [], []]);
  });

  it('ends with the store, and refuses what is not there', async () => {
    expect(await scrub(5)).to.equal('OUT_OF_RANGE');
    const scrubs = [scrub(0), scrub(1), scrub(2)];
    const { store } = one;
    await one.close();
    expect((await Promise.all(scrubs)).at(-1)).to.equal('CLOSED');
    const code = await new Promise((resolve) => store.scrub(0, (error) => resolve(error?.code)));
    expect(code).to.equal('CLOSED');
    await one.open();
  });
});
