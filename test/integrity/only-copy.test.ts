/**
 * Goal: with one replica, rot is a medium error with the address of the block: never wrong data,
 * and everything else stays readable and writable.
 * Method: one replica process; its files are damaged; the sense data that an initiator gets.
 */
import { expect } from 'chai';
import { read16, write16 } from '../initiator/cdb.ts';
import type { Disk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import {
  BLOCK,
  DamagedVolume,
  EXTENT,
  PAGE_CHECKSUMS,
  PAGE_HIDDEN,
  pattern,
} from './damaged-volume.ts';

const SECTOR = 512;
const CHECK_CONDITION = 2;
const MEDIUM_ERROR = 0x3;
const UNRECOVERED_READ_ERROR = 0x11;

describe('rot in the only copy', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  let count = 0;
  let here: DamagedVolume;
  let disk: Disk;
  const content = pattern(EXTENT, 1);

  beforeEach(async () => {
    here = await DamagedVolume.start(`${directory.path}/${count++}`, {
      replicas: 1,
      sizeBytes: 8 * EXTENT,
    });
    disk = await here.login();
    await disk.write(0, content);
    await disk.write(3 * EXTENT, content);
    await disk.flush();
  });
  afterEach(async () => {
    await disk.session.logout();
    await here.volume.stop();
  });
  after(() => directory.remove());

  /** SPC-4 4.5.3, fixed format: key, code, and the address in INFORMATION where it is valid. */
  const senseOf = async (
    command: Omit<Parameters<Disk['session']['execute']>[0], 'lun'>,
  ): Promise<{ key: number; asc: number; lba: number | null }> => {
    const { status, sense } = await disk.session.execute({ ...command, lun: 0 });
    expect(status).to.equal(CHECK_CONDITION);
    if (sense === null) throw new Error('no sense data');
    expect(sense.readUInt8(0) & 0x7f).to.equal(0x70);
    const isValid = (sense.readUInt8(0) & 0x80) !== 0;
    return {
      key: sense.readUInt8(2) & 0xf,
      asc: sense.readUInt8(12),
      lba: isValid ? sense.readUInt32BE(3) : null,
    };
  };

  const read = (offset: number, bytes: number) =>
    senseOf({ cdb: read16(offset / SECTOR, bytes / SECTOR), dataInBytes: bytes });

  it('is answered MEDIUM ERROR, UNRECOVERED READ ERROR, with the address of the block', async () => {
    here.rot(0, '000001.img', 3 * EXTENT + 7 * BLOCK + 1000);
    const expected = {
      key: MEDIUM_ERROR,
      asc: UNRECOVERED_READ_ERROR,
      lba: (3 * EXTENT + 7 * BLOCK) / SECTOR,
    };
    expect(await read(3 * EXTENT, 16 * BLOCK)).to.deep.equal(expected);
    expect(await read(3 * EXTENT + 7 * BLOCK, BLOCK)).to.deep.equal(expected);
    const around = await disk.read(3 * EXTENT, 7 * BLOCK);
    expect(around.equals(content.subarray(0, 7 * BLOCK))).to.equal(true);
    expect((await disk.read(0, EXTENT)).equals(content)).to.equal(true);
  });

  it('in a page of a snapshot is MEDIUM ERROR where an older one might show', async () => {
    await here.post('/v1/snapshots', { name: 'old' });
    await disk.unmap(8 * BLOCK, BLOCK);
    await here.post('/v1/snapshots', { name: 'new' });
    await here.volume.replicas[0]!.daemon.stop();
    here.rot(0, '000002.meta', PAGE_HIDDEN + 1);
    await here.volume.startReplica(0);
    await here.volume.untilHealthy();
    expect(await read(8 * BLOCK, BLOCK)).to.deep.equal({
      key: MEDIUM_ERROR,
      asc: UNRECOVERED_READ_ERROR,
      lba: (8 * BLOCK) / SECTOR,
    });
    expect((await here.scrubbed()).lostBlocks).to.be.above(0);
    expect((await disk.read(3 * EXTENT, EXTENT)).equals(content)).to.equal(true);
  });

  it('is found by the scrub, counted as lost, and gone when the block is written', async () => {
    here.rot(0, '000001.img', 7 * BLOCK);
    here.rot(0, '000001.img', 9 * BLOCK);
    const found = await here.scrubbed();
    expect(found).to.deep.include({ lostBlocks: 2, repairedBlocks: 0 });
    expect(await here.metric('openebs_volume_lost_blocks')).to.equal(2);
    expect(here.log()).to.include('blocks are lost: there is no other copy');
    await disk.write(0, content);
    expect((await here.scrubbed()).lostBlocks).to.equal(0);
    expect((await disk.read(0, EXTENT)).equals(content)).to.equal(true);
  });

  it('refuses a write to a part of the block and takes all others, also afterwards', async () => {
    here.rot(0, '000001.img', 7 * BLOCK);
    const part = Buffer.alloc(SECTOR, 9);
    const lba = (7 * BLOCK) / SECTOR;
    const sense = await senseOf({ cdb: write16(lba + 2, 1), dataOut: part });
    expect(sense).to.deep.equal({ key: MEDIUM_ERROR, asc: UNRECOVERED_READ_ERROR, lba });
    await disk.write(8 * BLOCK + SECTOR, part);
    expect((await read(7 * BLOCK, BLOCK)).lba).to.equal(lba);
    await disk.write(7 * BLOCK, content.subarray(0, BLOCK));
    const whole = await disk.read(7 * BLOCK, BLOCK);
    expect(whole.equals(content.subarray(0, BLOCK))).to.equal(true);
  });

  it('in a page makes its extent unreadable, says so, and leaves the others alone', async () => {
    await disk.session.logout();
    await here.volume.target.daemon.stop();
    await here.volume.replicas[0]!.daemon.stop();
    here.rot(0, '000001.meta', PAGE_CHECKSUMS + 5);
    await here.volume.start();
    disk = await here.login();
    expect(await read(0, BLOCK)).to.deep.equal({
      key: MEDIUM_ERROR,
      asc: UNRECOVERED_READ_ERROR,
      lba: 0,
    });
    expect((await disk.read(3 * EXTENT, EXTENT)).equals(content)).to.equal(true);
    expect((await here.scrubbed()).lostBlocks).to.equal(256);
    expect((await disk.read(2 * EXTENT, BLOCK)).equals(Buffer.alloc(BLOCK))).to.equal(true);
  });
});
