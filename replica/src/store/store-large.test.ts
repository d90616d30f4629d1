import { expect } from 'chai';
import { fs, path } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES, MAX_VOLUME_BYTES, REGION_BYTES } from '../protocol/types.ts';
import {
  MAX_MARKED_REGIONS,
  METADATA_BYTES_CEILING,
  METADATA_BYTES_FLOOR,
  METADATA_BYTES_PER_TIB,
} from '../limits.ts';
import {
  RealStore,
  rejection,
  removeDirectory,
  temporaryDirectory,
} from './real-store.test-support.ts';
import { openStore } from './open.ts';
import { seededRandom } from './simulated-volume.ts';

const TIB = 1024 ** 4;
const MEMORY_FILE_SYSTEM = '/dev/shm';

/**
 * Method: sparse volumes on a file system that takes files of this size (tmpfs); ext4 stops below
 * 16 TiB.
 */
describe('a large store', function () {
  this.timeout(20_000);
  let one: RealStore | null = null;

  afterEach(async () => {
    await one?.close();
    if (one !== null) removeDirectory(one.directory);
    one = null;
  });

  function make(context: Mocha.Context, sizeBytes: number): RealStore {
    if (!fs.existsSync(MEMORY_FILE_SYSTEM)) context.skip();
    one = new RealStore(temporaryDirectory(MEMORY_FILE_SYSTEM), sizeBytes);
    return one;
  }

  it('of 64 TiB is written and read at its ends, and stays sparse', async function () {
    const large = make(this, MAX_VOLUME_BYTES);
    await large.open();
    const offsets = [0, 16 * TIB, 33 * TIB + 5 * BLOCK_BYTES, MAX_VOLUME_BYTES - BLOCK_BYTES];
    for (const [index, offset] of offsets.entries()) large.write(index + 1, offset);
    expect(await large.flush()).to.equal('none');
    await large.close();
    await large.open();
    for (const [index, offset] of offsets.entries())
      expect(await large.read(offset)).to.equal(index + 1);
    expect(await large.read(48 * TIB)).to.equal(0);
    expect(large.store.counters().allocatedBytes).to.equal(offsets.length * BLOCK_BYTES);
    const versions = large.store.extentVersions(0, MAX_VOLUME_BYTES / EXTENT_BYTES / 64);
    expect(versions.findIndex((byte) => byte !== 0)).to.equal(0);
  });

  it('is unmapped as a whole, although at most 2,048 regions are marked', async function () {
    const large = make(this, TIB);
    await large.open();
    const regions = MAX_MARKED_REGIONS + 500;
    for (let region = 0; region < regions; region += 1) large.write(1, region * REGION_BYTES);
    expect(await large.flush()).to.equal('none');
    expect(large.store.counters().markedRegions).to.be.at.most(MAX_MARKED_REGIONS);
    large.unmap(0, TIB);
    expect(await large.flush()).to.equal('none');
    expect(large.store.counters().markedRegions).to.be.at.most(MAX_MARKED_REGIONS);
    expect(large.store.counters().allocatedBytes).to.equal(0);
    expect(large.failure).to.equal(null);
    expect(await large.read(0)).to.equal(0);
  });

  it('keeps its metadata within 32 MiB per TiB, whatever is touched', async function () {
    const large = make(this, TIB);
    await large.open();
    const random = seededRandom(3);
    const extents = TIB / EXTENT_BYTES;
    for (let read = 0; read < 30_000; read += 1)
      await large.read(Math.floor(random() * extents) * EXTENT_BYTES);
    const bytes = large.store.counters().metadataCacheBytes;
    expect(bytes).to.be.within(METADATA_BYTES_FLOOR, METADATA_BYTES_PER_TIB);
    expect(METADATA_BYTES_CEILING).to.be.at.least(METADATA_BYTES_PER_TIB);
  });

  it('on a file system with smaller files says which takes it', async function () {
    const directory = temporaryDirectory();
    try {
      const probe = path.join(directory, 'probe');
      fs.writeFileSync(probe, '');
      try {
        fs.truncateSync(probe, MAX_VOLUME_BYTES);
        this.skip();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EFBIG') throw error;
      }
      fs.rmSync(probe);
      const create = {
        volumeId: 'volume',
        replicaId: 'one',
        role: 'data',
        sizeBytes: MAX_VOLUME_BYTES,
      } as const;
      const error = await rejection(openStore({ directory, create }));
      expect(error.code).to.equal('TOO_LARGE');
      expect(error.message).to.match(/XFS takes every volume size/);
    } finally {
      removeDirectory(directory);
    }
  });
});
