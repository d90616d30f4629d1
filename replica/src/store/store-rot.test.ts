import { expect } from 'chai';
import { verifySegments } from '../protocol/checksum.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { PAGE_BYTES, PAGE_LAYOUT } from './extent-page.ts';
import {
  RealStore,
  rejection,
  removeDirectory,
  temporaryDirectory,
} from './real-store.test-support.ts';
import { openStore } from './open.ts';
import { SUPERBLOCK } from './superblock.ts';

const SIZE_BYTES = 4 * EXTENT_BYTES;

/** Method: real files, damaged behind the store's back, before it is opened or while it runs. */
describe('rot on a real file', () => {
  let one: RealStore;

  beforeEach(async () => {
    one = new RealStore(temporaryDirectory(), SIZE_BYTES);
    await one.open();
    for (let block = 0; block < 8; block += 1) one.write(block + 1, block * BLOCK_BYTES);
    one.write(50, EXTENT_BYTES);
    expect(await one.flush()).to.equal('none');
  });

  afterEach(async () => {
    await one.close();
    removeDirectory(one.directory);
  });

  async function reopen(damage: () => void): Promise<void> {
    await one.close();
    damage();
    await one.open();
  }

  it('of one bit in the data is found by a read and told with its place', async () => {
    one.overwrite('000001.img', 3 * BLOCK_BYTES + 100, Uint8Array.of(0x10));
    expect(await one.read(2 * BLOCK_BYTES)).to.equal(3);
    let offsetBytes: number | null = null;
    const into = Buffer.alloc(8 * BLOCK_BYTES);
    one.store.read(0, into, Buffer.alloc(32), (error) => (offsetBytes = error?.offsetBytes ?? -1));
    expect(offsetBytes).to.equal(3 * BLOCK_BYTES);
    expect(one.store.counters().checksumErrors).to.equal(1);
  });

  it('shows in the checksums where the reader wants to compare them itself', () => {
    one.overwrite('000001.img', 100, Uint8Array.of(0x10));
    const into = Buffer.alloc(2 * BLOCK_BYTES);
    const checksums = Buffer.alloc(8);
    let failure: unknown = 'none';
    one.store.read(0, into, checksums, (error) => (failure = error), false);
    expect(failure).to.equal(null);
    expect(verifySegments(0, [into], checksums)).to.equal(0);
    expect(
      verifySegments(BLOCK_BYTES, [into.subarray(BLOCK_BYTES)], checksums.subarray(4)),
    ).to.equal(-1);
  });

  it('is gone when the block is written again', async () => {
    one.overwrite('000001.img', 3 * BLOCK_BYTES, Uint8Array.of(0x10));
    one.write(9, 3 * BLOCK_BYTES);
    expect(await one.read(3 * BLOCK_BYTES)).to.equal(9);
    expect(one.failure).to.equal(null);
  });

  it('is not blessed by a write to another part of the block', async () => {
    one.overwrite('000001.img', 3 * BLOCK_BYTES + 100, Uint8Array.of(0x10));
    one.write(9, 3 * BLOCK_BYTES + 1024, 512);
    expect(one.failure?.code).to.equal('CHECKSUM_MISMATCH');
    expect(await one.read(3 * BLOCK_BYTES)).to.equal('CHECKSUM_MISMATCH');
    // What a comparison with another replica needs: the extent is unknown, and the checksum is not
    // the good one's.
    expect(one.isUnknown(0)).to.equal(true);
    const checksums = Buffer.from(one.store.extentChecksums(0));
    await one.close();
    await one.open();
    expect(await one.read(3 * BLOCK_BYTES)).to.equal('CHECKSUM_MISMATCH');
    one.write(4, 3 * BLOCK_BYTES);
    expect(await one.flush()).to.equal('none');
    expect(Buffer.from(one.store.extentChecksums(0)).equals(checksums)).to.equal(false);
    one.stamp(0, EXTENT_BYTES);
    expect(await one.read(3 * BLOCK_BYTES)).to.equal(4);
    expect(one.isUnknown(0)).to.equal(false);
  });

  it('is not blessed by an unmap of another part of the block', async () => {
    one.overwrite('000001.img', 3 * BLOCK_BYTES + 100, Uint8Array.of(0x10));
    one.unmap(3 * BLOCK_BYTES + 1024, 512);
    expect(one.failure?.code).to.equal('CHECKSUM_MISMATCH');
    expect(await one.read(3 * BLOCK_BYTES)).to.equal('CHECKSUM_MISMATCH');
  });

  it('of an extent page makes the extent unreadable and unknown until it is stamped', async () => {
    await reopen(() =>
      one.overwrite('000001.meta', PAGE_LAYOUT.checksums.offset + 8, Uint8Array.of(0xff, 0xff)),
    );
    expect(one.isUnknown(0)).to.equal(true);
    expect(await one.read(0)).to.equal('CHECKSUM_MISMATCH');
    expect(await one.read(EXTENT_BYTES)).to.equal(50);
    expect(one.warnings.join()).to.match(/checksums of extent 0 .* are damaged/);
    expect(one.store.counters().damagedPages).to.be.above(0);
    // Writing one block says nothing about the others.
    one.write(9, 0);
    expect(await one.read(0)).to.equal('CHECKSUM_MISMATCH');
    await one.close();
    await one.open();
    expect(await one.read(0)).to.equal('CHECKSUM_MISMATCH');
    one.stamp(0, EXTENT_BYTES);
    expect(await one.read(0)).to.equal(9);
    expect(await one.read(BLOCK_BYTES)).to.equal(2);
    expect(one.isUnknown(0)).to.equal(false);
  });

  it('that makes a page zeroes is not taken for an extent that was never written', async () => {
    await reopen(() => one.overwrite('000001.meta', 0, new Uint8Array(PAGE_BYTES)));
    expect(one.isUnknown(0)).to.equal(true);
    expect(await one.read(0)).to.equal('CHECKSUM_MISMATCH');
  });

  for (const slot of [0, 1])
    for (const file of ['superblock', 'activity'])
      it(`of slot ${slot} of ${file} loses nothing and is told`, async () => {
        await reopen(() => {
          const slotBytes = file === 'superblock' ? SUPERBLOCK.slotBytes : 16 * 1024;
          one.overwrite(file, slot * slotBytes + 70, Uint8Array.of(0xff, 0xfe));
        });
        expect(one.store.counters().damagedSlots).to.equal(1);
        expect(one.warnings.join()).to.match(/One of the two slots of .* does not pass/);
        expect(await one.read(0)).to.equal(1);
        expect(one.store.state().promisedEpoch).to.equal(2);
      });

  it('of both slots of the superblock is the end of the copy, said with what to do', async () => {
    await one.close();
    one.overwrite('superblock', 70, Uint8Array.of(0xff));
    one.overwrite('superblock', SUPERBLOCK.slotBytes + 70, Uint8Array.of(0xff));
    const error = await rejection(openStore(one.options()));
    expect(error.code).to.equal('SUPERBLOCK_DAMAGED');
    expect(error.message).to.match(/remove the directory and let it be rebuilt/);
  });
});
