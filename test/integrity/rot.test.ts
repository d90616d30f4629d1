/**
 * Goal: what has rotted in one copy is never returned and never copied; it is found by a read or by
 * the scrub, repaired from a healthy copy, counted and reported.
 * Method: three replica processes; bytes of their files are turned over while they run or rest; an
 * initiator reads all of it, and the files are compared afterwards.
 */
import { existsSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import type { Disk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import {
  BLOCK,
  DamagedVolume,
  EXTENT,
  PAGE,
  PAGE_BITMAP,
  PAGE_CHECKSUMS,
  PAGE_HIDDEN,
  pattern,
  SUPERBLOCK_SLOT,
  until,
} from './damaged-volume.ts';

const SIZE = 16 * EXTENT;
const WRITTEN = 4 * EXTENT;
const IMAGE = '000001.img';
const META = '000001.meta';

describe('rot in one of three copies', function () {
  this.timeout(90_000);
  const directory = temporaryDirectory();
  let count = 0;
  let here: DamagedVolume;
  let disk: Disk;
  const content = pattern(WRITTEN, 1);

  beforeEach(async () => {
    here = await DamagedVolume.start(`${directory.path}/${count++}`, {
      replicas: 3,
      sizeBytes: SIZE,
    });
    disk = await here.login();
    await write(content);
    await disk.flush();
  });
  afterEach(async () => {
    await disk.session.logout();
    await here.volume.stop();
  });
  after(() => directory.remove());

  const write = async (bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length; at += EXTENT) {
      await disk.write(at, bytes.subarray(at, at + EXTENT));
    }
  };

  /** Often enough that every replica is asked for everything. */
  const expectGoodReads = async (expected = content): Promise<void> => {
    for (let round = 0; round < 6; round++) {
      for (let at = 0; at < expected.length; at += EXTENT / 4) {
        const bytes = await disk.read(at, EXTENT / 4);
        expect(bytes.equals(expected.subarray(at, at + bytes.length)), `at ${at}`).to.equal(true);
      }
    }
  };

  const expectSoundImages = (expected = content): void => {
    for (const index of [0, 1, 2]) {
      const good = here.image(index, expected.length).equals(expected);
      expect(good, `the image of replica ${index}`).to.equal(true);
    }
  };

  const again = async (index: number, damage: () => void): Promise<void> => {
    await here.volume.replicas[index]!.daemon.stop();
    damage();
    await here.volume.startReplica(index);
    await here.volume.untilHealthy();
  };

  it('is found by reads, in every copy, and repaired', async () => {
    for (const index of [0, 1, 2]) {
      here.rot(index, IMAGE, (8 + index) * BLOCK + 17);
      here.rot(index, IMAGE, 2 * EXTENT + 5 * BLOCK * index);
    }
    await expectGoodReads();
    await until('the repair', async () => (await here.integrity()).repairedBlocks === 6);
    expectSoundImages();
    const { checksumErrors, lostBlocks, lastProblem } = await here.integrity();
    expect(checksumErrors).to.be.at.least(4);
    expect(lostBlocks).to.equal(0);
    expect(lastProblem).to.match(/replica-\d.sock: .* does not have the checksum/);
    expect(await here.metric('openebs_volume_repaired_blocks_total')).to.equal(6);
    expect(here.log()).to.include('a bad copy').and.to.include('"msg":"repaired"');
  });

  it('is found by the scrub though nobody reads', async () => {
    here.rot(0, IMAGE, 3 * BLOCK);
    here.rot(2, IMAGE, 3 * EXTENT + 255 * BLOCK + 4095);
    const found = await here.scrubbed();
    expect(found).to.deep.include({ checksumErrors: 2, repairedBlocks: 2, lostBlocks: 0 });
    expect(found.scrub.badBlocks).to.equal(2);
    expectSoundImages();
    expect((await here.scrubbed()).scrub.badBlocks).to.equal(0);
    expect((await here.replicaCounters(0))['scrubErrors']).to.equal(1);
    expect(here.log()).to.include('the scrub found a bad copy');
  });

  it('in a snapshot is repaired in the snapshot, also where the volume has something newer', async () => {
    await here.post('/v1/snapshots', { name: 'kept' });
    const newer = pattern(EXTENT, 2);
    await disk.write(0, newer);
    const now = Buffer.concat([newer, content.subarray(EXTENT)]);
    // Hidden, seen, and hidden: each has two good copies.
    here.rot(0, IMAGE, 3 * BLOCK);
    here.rot(1, IMAGE, 2 * EXTENT + 7 * BLOCK + 100);
    here.rot(2, IMAGE, 200 * BLOCK + 4095);
    const found = await here.scrubbed();
    expect(found).to.deep.include({ checksumErrors: 3, repairedBlocks: 3, lostBlocks: 0 });
    expect(here.log()).to.include('blocks of snapshots repaired');
    expectSoundImages();
    expect((await here.scrubbed()).scrub.badBlocks).to.equal(0);
    await expectGoodReads(now);
    // In every copy: nobody can give it back.
    for (const index of [0, 1, 2]) here.rot(index, IMAGE, 5 * BLOCK);
    expect((await here.scrubbed()).lostBlocks).to.equal(1);
    await expectGoodReads(now);
  });

  it('in a page of a snapshot never lets an older one show', async () => {
    await here.post('/v1/snapshots', { name: 'old' });
    await disk.unmap(8 * BLOCK, 8 * BLOCK);
    await here.post('/v1/snapshots', { name: 'new' });
    const now = Buffer.from(content).fill(0, 8 * BLOCK, 16 * BLOCK);
    // Before anybody has looked at it. Who comes back with it is compared first.
    here.rot(1, '000002.meta', PAGE_HIDDEN + 1);
    await expectGoodReads(now);
    expect(await here.scrubbed()).to.deep.include({ lostBlocks: 0, divergentBlocks: 0 });
    expect((await here.replicaCounters(1))['damagedPages']).to.be.above(0);
    expect((await here.scrubbed()).scrub.badBlocks).to.equal(0);
    await here.volume.replicas[0]!.daemon.stop();
    await expectGoodReads(now);
  });

  it('in pages of a snapshot is repaired from another copy, in each of them', async () => {
    await here.post('/v1/snapshots', { name: 'old' });
    await disk.unmap(8 * BLOCK, 8 * BLOCK);
    await disk.write(2 * EXTENT, pattern(EXTENT, 3));
    await here.post('/v1/snapshots', { name: 'kept' });
    const kept = Buffer.from(content).fill(0, 8 * BLOCK, 16 * BLOCK);
    pattern(EXTENT, 3).copy(kept, 2 * EXTENT);
    await write(pattern(WRITTEN, 4));
    await disk.flush();
    here.rot(0, '000002.meta', PAGE_HIDDEN + 1);
    here.rot(1, '000002.meta', 2 * PAGE + PAGE_CHECKSUMS + 8);
    here.rot(2, '000001.meta', PAGE + PAGE_BITMAP);
    const found = await here.scrubbed();
    expect(found).to.deep.include({ lostBlocks: 0, divergentBlocks: 0 });
    expect(found.repairedBlocks).to.equal(3 * (EXTENT / BLOCK));
    expect((await here.scrubbed()).scrub.badBlocks).to.equal(0);
    await disk.session.logout();
    await here.post('/v1/snapshots/kept/revert');
    disk = await here.login();
    const { checksumErrors } = await here.integrity();
    await expectGoodReads(kept);
    expect((await here.integrity()).checksumErrors).to.equal(checksumErrors);
  });

  for (const [what, offset] of [
    ['a checksum', PAGE_CHECKSUMS + 40],
    ['the bitmap', PAGE_BITMAP + 3],
    ['the version', 33],
  ] as const) {
    it(`in ${what} of a replica that rests is met when it comes back`, async () => {
      await again(1, () => {
        here.rot(1, META, offset);
        here.rot(1, META, 2 * PAGE + offset);
        here.rot(1, IMAGE, 2 * EXTENT + 9 * BLOCK);
      });
      await expectGoodReads();
      await here.scrubbed();
      expectSoundImages();
      expect((await here.replicaCounters(1))['damagedPages']).to.equal(2);
      expect((await here.scrubbed()).scrub.badBlocks).to.equal(0);
    });
  }

  it('in a page under a replica that runs is found by the scrub and written again', async () => {
    // So that the pages are in the file.
    for (const index of [0, 1, 2]) await again(index, () => undefined);
    await expectGoodReads();
    here.rot(2, META, PAGE_CHECKSUMS + 7);
    await here.scrubbed();
    expect((await here.replicaCounters(2))['scrubErrors']).to.equal(1);
    await again(2, () => undefined);
    expect((await here.replicaCounters(2))['damagedPages']).to.equal(0);
  });

  it('in one slot of the superblock loses nothing, is told and written again', async () => {
    for (const [index, slot] of [
      [0, 0],
      [1, 1],
    ] as const) {
      await again(index, () => here.rot(index, 'superblock', slot * SUPERBLOCK_SLOT + 80));
      expect((await here.replicaCounters(index))['damagedSlots']).to.equal(1);
      const { log } = here.volume.replicas[index]!.daemon;
      expect(log.join('\n')).to.match(/One of the two slots of .*superblock does not pass/);
      await again(index, () => undefined);
      expect((await here.replicaCounters(index))['damagedSlots']).to.equal(0);
    }
    here.rot(2, 'superblock', SUPERBLOCK_SLOT + 80);
    here.rot(2, 'activity', 80);
    await here.scrubbed();
    // The superblock is written when the scrub begins, so that one may be gone already.
    expect((await here.replicaCounters(2))['damagedSlots']).to.be.within(1, 2);
    await again(2, () => undefined);
    expect((await here.replicaCounters(2))['damagedSlots']).to.equal(0);
    await expectGoodReads();
  });

  it('in both slots ends the copy with what to do; emptied, it is filled again', async () => {
    await here.volume.replicas[1]!.daemon.stop();
    here.rot(1, 'superblock', 80);
    here.rot(1, 'superblock', SUPERBLOCK_SLOT + 80);
    let refused = '';
    await here.volume.startReplica(1).catch((error: unknown) => {
      refused = error instanceof Error ? error.message : '';
    });
    expect(refused).to.match(/SUPERBLOCK_DAMAGED.*remove the directory and let it be rebuilt/s);
    expect((await here.volume.status()).state).to.equal('degraded');
    await expectGoodReads();
    rmSync(here.replicaDirectory(1), { recursive: true });
    await here.volume.startReplica(1);
    await here.volume.untilHealthy();
    expectSoundImages();
    expect((await here.scrubbed()).scrub.badBlocks).to.equal(0);
  });

  it('of the sources is not copied when a replica comes back', async () => {
    await here.volume.replicas[1]!.daemon.kill9();
    await until('the loss', async () => (await here.volume.status()).state === 'degraded');
    const later = pattern(WRITTEN, 2);
    await write(later);
    await disk.flush();
    for (let block = 0; block < 64; block++) {
      here.rot(block % 2 === 0 ? 0 : 2, IMAGE, 16 * block * BLOCK + 100);
    }
    await here.volume.startReplica(1);
    await here.volume.untilHealthy();
    expect(here.image(1, WRITTEN).equals(later)).to.equal(true);
    expect((await here.scrubbed()).lostBlocks).to.equal(0);
    expectSoundImages(later);
    await expectGoodReads(later);
  });

  it('is not copied when a volume is started and its copies are compared', async () => {
    const { volume } = here;
    await Promise.all([
      volume.target.daemon.kill9(),
      ...volume.replicas.map((replica) => replica!.daemon.stop()),
    ]);
    // Extent 0: pages lost on two copies, blocks rotten on the third one and on one of the two.
    here.rot(0, META, PAGE_CHECKSUMS);
    here.rot(1, META, PAGE_BITMAP);
    here.rot(1, IMAGE, 11 * BLOCK);
    here.rot(0, META, PAGE + PAGE_BITMAP);
    here.rot(0, IMAGE, EXTENT + 12 * BLOCK);
    here.rot(2, IMAGE, EXTENT + 13 * BLOCK);
    await volume.start();
    await volume.untilHealthy();
    disk = await here.login();
    await expectGoodReads();
    await here.scrubbed();
    expectSoundImages();
    expect(existsSync(here.replicaDirectory(0))).to.equal(true);
  });
});
