import { expect } from 'chai';
import fc from 'fast-check';
import {
  BLOCKS_PER_EXTENT,
  ExtentPage,
  PAGE_BYTES,
  PAGE_FORMAT,
  PAGE_LAYOUT,
} from './extent-page.ts';
import { versionOf } from './simulated-volume.ts';

const TAG = 0x12345678;

function sealed(extent: number): ExtentPage {
  const page = new ExtentPage();
  page.reset(extent, TAG);
  page.allocate(3, 0xdeadbeef);
  page.setVersion(versionOf(2 ** 40 + 5, 2 ** 52 + 9), false);
  page.seal();
  return page;
}

function load(bytes: Uint8Array, extent: number, tag = TAG): [string, ExtentPage] {
  const page = new ExtentPage();
  page.bytes.set(bytes);
  return [page.accept(extent, tag), page];
}

describe('an extent page', () => {
  it('has a layout whose fields follow each other and fill the page', () => {
    let end = 0;
    for (const [name, field] of Object.entries(PAGE_LAYOUT)) {
      expect(field.offset, name).to.equal(end);
      end += field.bytes;
    }
    expect(end).to.equal(PAGE_BYTES);
    expect(PAGE_LAYOUT.allocated.bytes * 8).to.equal(BLOCKS_PER_EXTENT);
    expect(PAGE_LAYOUT.checksums.bytes).to.equal(4 * BLOCKS_PER_EXTENT);
  });

  it('gives back what was stored, with numbers above 32 bits', () => {
    const extent = 2 ** 26 - 1;
    const [state, page] = load(sealed(extent).bytes, extent);
    expect(state).to.equal('valid');
    expect(page.version).to.deep.equal(versionOf(2 ** 40 + 5, 2 ** 52 + 9));
    expect(page.checksum(3)).to.equal(0xdeadbeef);
    expect(page.isAllocated(3)).to.equal(true);
    expect(page.isAllocated(4)).to.equal(false);
    expect(page.unknown || page.provisional || page.unverified || page.dirty).to.equal(false);
  });

  it('takes zeroes for an extent that was never written', () => {
    const [state, page] = load(new Uint8Array(PAGE_BYTES), 7);
    expect(state).to.equal('empty');
    expect(page.version).to.deep.equal(versionOf(0, 0));
    expect(page.next(true, 0, BLOCKS_PER_EXTENT)).to.equal(BLOCKS_PER_EXTENT);
  });

  it('is damaged when any one bit is flipped', () => {
    const good = sealed(5).bytes;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: PAGE_BYTES * 8 - 1 }), (bit) => {
        const bad = Uint8Array.from(good);
        bad[bit >>> 3] = bad[bit >>> 3]! ^ (1 << (bit & 7));
        expect(load(bad, 5)[0]).to.equal('damaged');
      }),
      { numRuns: 500 },
    );
  });

  it('is damaged when it belongs to another extent or another store', () => {
    expect(load(sealed(5).bytes, 6)[0]).to.equal('damaged');
    expect(load(sealed(5).bytes, 5, TAG + 1)[0]).to.equal('damaged');
  });

  it('of a later format is not taken for damaged', () => {
    const page = sealed(5);
    page.bytes[PAGE_LAYOUT.format.offset] = PAGE_FORMAT + 1;
    page.seal();
    expect(load(page.bytes, 5)[0]).to.equal('too-new');
  });

  it('keeps bitmap and checksums apart for each of its 256 blocks', () => {
    const page = new ExtentPage();
    page.reset(0, TAG);
    for (let block = 0; block < BLOCKS_PER_EXTENT; block += 2) page.allocate(block, block + 1);
    for (let block = 0; block < BLOCKS_PER_EXTENT; block += 4) page.deallocate(block);
    for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
      const allocated = block % 4 === 2;
      expect(page.isAllocated(block)).to.equal(allocated);
      expect(page.checksum(block)).to.equal(allocated ? block + 1 : 0);
    }
    expect(page.next(true, 3, 256)).to.equal(6);
    expect(page.next(false, 6, 256)).to.equal(7);
  });
});
