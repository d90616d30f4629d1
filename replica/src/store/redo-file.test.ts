import { expect } from 'chai';
import { BLOCK_BYTES } from '../protocol/types.ts';
import {
  REDO_FILE,
  REDO_FILE_BYTES,
  REDO_HEADER_BYTES,
  REDO_LAYOUT,
  RedoFile,
} from './redo-file.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { makeWrite, numberedSectors, seededRandom, versionOf } from './simulated-volume.ts';

const LENGTH = 3 * BLOCK_BYTES;
const OFFSET = 5 * BLOCK_BYTES;

const writeOf = (value: number): ReturnType<typeof makeWrite> =>
  makeWrite(versionOf(1, value), OFFSET, numberedSectors(value, LENGTH), [700], 'write-atomic');

const begin = (file: RedoFile, value: number): Promise<void> =>
  new Promise((resolve, reject) => {
    file.begin(writeOf(value), (error) => (error === null ? resolve() : reject(error)));
  });

const end = (file: RedoFile): Promise<void> =>
  new Promise((resolve, reject) => {
    file.end((error) => (error === null ? resolve() : reject(error)));
  });

/** What an opening finds to be done again: offset and first number, or nothing. */
const reopen = (disk: SimulatedDisk): { file: RedoFile; redone: number[] } => {
  const redone: number[] = [];
  const { file } = RedoFile.open(disk, (payload, offsetBytes) => {
    redone.push(offsetBytes, payload.length, payload.readUInt32LE(0));
  });
  return { file, redone };
};

const diskOf = (seed = 1): SimulatedDisk => new SimulatedDisk(seededRandom(seed));

describe('the redo file', () => {
  it('has fields that follow one another', () => {
    let at = 0;
    for (const field of Object.values(REDO_LAYOUT)) {
      expect(field.offset).to.equal(at);
      at += field.bytes;
    }
    expect(at).to.equal(REDO_HEADER_BYTES);
  });

  it('has nothing to do again where it was just made, and its full size from the start', () => {
    const disk = diskOf();
    const { file, redone } = reopen(disk);
    expect(redone).to.deep.equal([]);
    expect(file.last).to.equal(null);
    expect(disk.open(REDO_FILE).size()).to.equal(REDO_FILE_BYTES);
  });

  it('gives back a write that has begun and not ended, once', async () => {
    const disk = diskOf();
    await begin(reopen(disk).file, 7);
    disk.losePower();
    const { file, redone } = reopen(disk);
    expect(redone).to.deep.equal([OFFSET, LENGTH, 7]);
    expect(file.last).to.deep.equal({ offsetBytes: OFFSET, lengthBytes: LENGTH });
    expect(reopen(disk).redone).to.deep.equal([]);
  });

  it('gives back nothing of a write that has ended, and still tells its range', async () => {
    const disk = diskOf();
    const { file } = reopen(disk);
    await begin(file, 7);
    await end(file);
    disk.losePower();
    const again = reopen(disk);
    expect(again.redone).to.deep.equal([]);
    expect(again.file.last).to.deep.equal({ offsetBytes: OFFSET, lengthBytes: LENGTH });
  });

  it('makes durable what it found in the page cache only before it is written in its place', () => {
    const disk = diskOf();
    reopen(disk).file.begin(writeOf(7), () => undefined);
    disk.killProcess();
    try {
      RedoFile.open(disk, () => {
        throw new Error('the power goes in the middle');
      });
    } catch {
      disk.losePower();
    }
    expect(reopen(disk).redone[2]).to.equal(7);
  });

  it('makes durable that a write has ended, where that stood in the page cache only', async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const disk = diskOf(seed);
      const { file } = reopen(disk);
      await begin(file, 7);
      file.end(() => undefined);
      disk.killProcess();
      expect(reopen(disk).redone).to.deep.equal([]);
      // Newer writes may be in its place by now, and durable.
      disk.losePower();
      expect(reopen(disk).redone).to.deep.equal([]);
    }
  });

  it('never gives back a record that is not whole, whichever sectors a loss of power took', async () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const disk = diskOf(seed);
      const { file } = reopen(disk);
      await begin(file, 1);
      await end(file);
      file.begin(writeOf(2), () => undefined);
      disk.losePower();
      const { redone } = reopen(disk);
      if (redone.length > 0) expect(redone).to.deep.equal([OFFSET, LENGTH, 2]);
    }
  });

  it('forgets a record whose payload was lost, so that the same payload cannot revive it', async () => {
    const disk = diskOf();
    await begin(reopen(disk).file, 7);
    // As after a loss of power: the header is there, a sector of the payload is not.
    const raw = disk.open(REDO_FILE);
    const whole = Buffer.alloc(REDO_FILE_BYTES);
    raw.read(whole, 0, REDO_FILE_BYTES, 0);
    raw.write(new Uint8Array(512), BLOCK_BYTES);
    expect(reopen(disk).redone).to.deep.equal([]);
    raw.write(whole.subarray(BLOCK_BYTES), BLOCK_BYTES);
    expect(reopen(disk).redone).to.deep.equal([]);
  });

  it('refuses a record of a later release', async () => {
    const disk = diskOf();
    await begin(reopen(disk).file, 7);
    const raw = disk.open(REDO_FILE);
    const header = Buffer.alloc(REDO_HEADER_BYTES);
    raw.read(header, 0, REDO_HEADER_BYTES, 0);
    header.writeUInt32LE(2, REDO_LAYOUT.format.offset);
    const { zlib } = await import('../runtime/builtin.ts');
    const { offset } = REDO_LAYOUT.headerChecksum;
    header.writeUInt32LE(zlib.crc32(header.subarray(0, offset)), offset);
    raw.write(header, 0);
    expect(() => reopen(disk))
      .to.throw()
      .with.property('code', 'FORMAT_TOO_NEW');
  });
});
