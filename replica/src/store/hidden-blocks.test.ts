import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import { checkDirectory } from './check.ts';
import { ExtentPage, PAGE_BYTES } from './extent-page.ts';
import { keepZeroes } from './hidden-blocks.ts';
import { NodeDisk } from './node-disk.ts';
import { RealStore, removeDirectory, temporaryDirectory } from './real-store.test-support.ts';
import { SimulatedDisk } from './simulated-disk.ts';

const SIZE_BYTES = 2 * REGION_BYTES;
const AT = '2026-01-01T00:00:00.000Z';
/** In a region that is unmapped as a whole, and in one of which only a part is. */
const WHOLE = 1;
const PART = REGION_BYTES / EXTENT_BYTES + 1;
const BLOCKS = 3;

/**
 * Method: real files of two layers. Blocks of the older one are unmapped in the head: a whole
 * region, and a few blocks of another one. Then pages turn into zeroes while the store is closed.
 */
describe('an extent that only hides', () => {
  let one: RealStore;

  beforeEach(async () => {
    one = new RealStore(temporaryDirectory(), SIZE_BYTES);
    await one.open();
    for (const extent of [WHOLE, PART])
      for (let block = 0; block < BLOCKS; block += 1)
        one.write(block + 1, extent * EXTENT_BYTES + block * BLOCK_BYTES);
    await snapshot(2);
    one.unmap(0, REGION_BYTES);
    one.unmap(PART * EXTENT_BYTES, BLOCKS * BLOCK_BYTES);
    expect(await one.flush()).to.equal('none');
  });

  afterEach(async () => {
    await one.close();
    removeDirectory(one.directory);
  });

  const snapshot = (head: number): Promise<void> =>
    one.store.changeLayers({ change: 'snapshot', head, name: `before ${head}`, createdAt: AT });

  const blank = async (fileName: string): Promise<void> => {
    await one.close();
    for (const extent of [WHOLE, PART])
      one.overwrite(fileName, extent * PAGE_BYTES, new Uint8Array(PAGE_BYTES));
    await one.open();
  };

  const content = async (): Promise<(number | string)[]> => {
    const found = [];
    for (const extent of [WHOLE, PART])
      for (let block = 0; block < BLOCKS; block += 1)
        found.push(await one.read(extent * EXTENT_BYTES + block * BLOCK_BYTES));
    return found;
  };

  /** Until the layer has gone into the one on top of it. */
  const merged = async (layer: number): Promise<void> => {
    while (one.store.state().layers.some(({ id }) => id === layer))
      await new Promise((resolve) => setTimeout(resolve, 5));
  };

  /** Blocks of the data file that are no hole. */
  const dataBlocks = (fileName: string): number => {
    const file = new NodeDisk(one.directory).open(fileName);
    let blocks = 0;
    for (let at = file.seekData(0); at !== null; at = file.seekData(at + BLOCK_BYTES)) blocks += 1;
    file.close();
    return blocks;
  };

  const refused = new Array<string>(2 * BLOCKS).fill('CHECKSUM_MISMATCH');
  const zeroes = new Array<number>(2 * BLOCKS).fill(0);

  it('takes one block of zeroes, reads zero, and is sound', async () => {
    expect(await content()).to.deep.equal(zeroes);
    await one.close();
    expect(dataBlocks('000002.img')).to.equal(2);
    expect(checkDirectory(one.directory).problems).to.equal(0);
    await one.open();
    expect(await content()).to.deep.equal(zeroes);
    const [allocated] = one.store.layerAllocation(2, WHOLE * EXTENT_BYTES, EXTENT_BYTES);
    expect(allocated).to.equal(0);
  });

  it('never shows what it hid when its page turned into zeroes', async () => {
    await blank('000002.meta');
    expect(await content()).to.deep.equal(refused);
    await one.close();
    expect(checkDirectory(one.directory).problems).to.equal(2);
  });

  it('nor does it in a snapshot', async () => {
    await snapshot(3);
    await blank('000002.meta');
    expect(await content()).to.deep.equal(refused);
  });

  it('nor when a layer that only hid was merged into a snapshot that has nothing there', async () => {
    await snapshot(3);
    await snapshot(4);
    await one.store.changeLayers({ change: 'delete', layer: 2 });
    await merged(2);
    expect(await content()).to.deep.equal(zeroes);
    await blank('000003-1.meta');
    expect(await content()).to.deep.equal(refused);
  });

  it('nor when it was merged into the head', async () => {
    await snapshot(3);
    await one.store.changeLayers({ change: 'delete', layer: 2 });
    await merged(2);
    await blank('000003.meta');
    expect(await content()).to.deep.equal(refused);
  });

  it('is as it was where an older release has kept nothing', async () => {
    await one.close();
    const file = new NodeDisk(one.directory).open('000002.img');
    file.punchHole(0, SIZE_BYTES);
    file.close();
    expect(checkDirectory(one.directory).problems).to.equal(0);
    await one.open();
    expect(await content()).to.deep.equal(zeroes);
  });

  it('goes without the block where there is no room for it', () => {
    const disk = new SimulatedDisk(() => 0);
    const file = disk.create('data');
    file.truncate(EXTENT_BYTES);
    const page = new ExtentPage();
    page.reset(0, 1);
    page.hide(5);
    disk.full = true;
    keepZeroes(page, file);
    expect(file.seekData(0)).to.equal(null);
    disk.full = false;
    keepZeroes(page, file);
    expect(file.seekData(0)).to.equal(5 * BLOCK_BYTES);
  });
});
