import { constants } from 'node:os';
import { expect } from 'chai';
import { StoreError } from './errors.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { seededRandom } from './simulated-volume.ts';
import { SLOT_HEADER_BYTES, SLOT_LAYOUT, TwoSlotFile } from './two-slot-file.ts';
import type { TwoSlotKind } from './two-slot-file.ts';

const KIND: TwoSlotKind = { fileName: 'small', magic: 'TESTTEST', format: 2, slotBytes: 4096 };

const { EIO } = constants.errno;

function newDisk(seed = 1): SimulatedDisk {
  const disk = new SimulatedDisk(seededRandom(seed));
  TwoSlotFile.create(disk, KIND, Buffer.from('first'));
  return disk;
}

class Content {
  text = '';
  readonly compose = (): Uint8Array => Buffer.from(this.text);
}

function open(disk: SimulatedDisk): { content: Content; file: TwoSlotFile; damaged: number } {
  const content = new Content();
  const { file, payload, damagedSlots } = TwoSlotFile.open(disk, KIND, content.compose);
  content.text = payload.toString();
  return { content, file, damaged: damagedSlots };
}

function commit(file: TwoSlotFile): Promise<void> {
  return new Promise((resolve, reject) =>
    file.commit((error) => (error === null ? resolve() : reject(error))),
  );
}

function settled(file: TwoSlotFile): Promise<void> {
  return new Promise((resolve) => file.settled(resolve));
}

function damage(disk: SimulatedDisk, slot: number, at = SLOT_HEADER_BYTES): void {
  disk.open(KIND.fileName).write(Uint8Array.of(0xff), slot * KIND.slotBytes + at);
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
  return 'none';
}

describe('a file of two slots', () => {
  it('has a header whose fields follow each other and fill it', () => {
    let end = 0;
    for (const field of Object.values(SLOT_LAYOUT)) {
      expect(field.offset).to.equal(end);
      end += field.bytes;
    }
    expect(end).to.equal(SLOT_HEADER_BYTES);
  });

  it('gives the newest content after any number of changes', async () => {
    const disk = newDisk();
    const { file, content } = open(disk);
    for (const text of ['second', 'third', '', 'x'.repeat(KIND.slotBytes - SLOT_HEADER_BYTES)]) {
      content.text = text;
      await commit(file);
      expect(open(disk).content.text).to.equal(text);
    }
  });

  for (const slot of [0, 1])
    for (const at of [0, SLOT_LAYOUT.generation.offset, SLOT_HEADER_BYTES])
      it(`loses nothing when byte ${at} of slot ${slot} rots`, async () => {
        const disk = newDisk();
        const { file, content } = open(disk);
        content.text = 'newest';
        await commit(file);
        await settled(file);
        damage(disk, slot, at);
        const again = open(disk);
        expect(again.content.text).to.equal('newest');
        expect(again.damaged).to.equal(1);
        again.content.text = 'healed';
        await commit(again.file);
        await settled(again.file);
        expect(open(disk).damaged).to.equal(0);
        damage(disk, 1 - slot);
        expect(open(disk).content.text).to.equal('healed');
      });

  it('says so when neither slot is good', () => {
    const disk = newDisk();
    damage(disk, 0);
    damage(disk, 1);
    expect(codeOf(() => open(disk))).to.equal('SUPERBLOCK_DAMAGED');
  });

  it('is not taken for an older one, nor for damaged, after errors in reading that pass', async () => {
    for (const errors of [1, 2]) {
      const disk = newDisk();
      const { file, content } = open(disk);
      content.text = 'second';
      await commit(file);
      for (let error = 0; error < errors; error++)
        disk.failNext({ fileName: KIND.fileName, operation: 'read', errno: EIO });
      expect(open(disk)).to.deep.include({ damaged: 0 });
      expect(open(disk).content.text).to.equal('second');
    }
  });

  it('that cannot be read is an error of the disk, and nobody is told to remove it', () => {
    const disk = newDisk();
    for (let error = 0; error < 6; error++)
      disk.failNext({ fileName: KIND.fileName, operation: 'read', errno: EIO });
    expect(codeOf(() => open(disk))).to.equal('IO_ERROR');
    expect(open(disk).content.text).to.equal('first');
  });

  it('of a later format is refused and not overwritten', () => {
    const disk = newDisk();
    const older = { ...KIND, format: 1 };
    expect(codeOf(() => TwoSlotFile.open(disk, older, () => new Uint8Array()))).to.equal(
      'FORMAT_TOO_NEW',
    );
    expect(open(disk).content.text).to.equal('first');
  });

  it('holds, whenever power is lost, the last durable content or a later one', async () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const random = seededRandom(seed);
      const disk = newDisk(seed);
      const { file, content } = open(disk);
      let durable = 0;
      content.text = '0';
      for (let change = 1; change <= 1 + Math.floor(random() * 6); change += 1) {
        content.text = String(change);
        file.commit(() => (durable = change));
        for (let turn = 0; random() < 0.5 && turn < 4; turn += 1)
          await new Promise((resolve) => setImmediate(resolve));
      }
      disk.losePower();
      const found = open(disk).content.text;
      const number = found === 'first' ? 0 : Number(found);
      expect(number, `seed ${seed}`).to.be.within(durable, Number(content.text));
    }
  });

  it('shares one write among all changes that wait', async () => {
    const disk = newDisk();
    const { file, content } = open(disk);
    const order: number[] = [];
    for (let change = 1; change <= 50; change += 1) {
      content.text = String(change);
      file.commit(() => order.push(change));
    }
    await settled(file);
    expect(order).to.deep.equal(Array.from({ length: 50 }, (_, index) => index + 1));
    expect(open(disk).content.text).to.equal('50');
  });

  it('takes no change any more after one could not be made durable', async () => {
    const disk = newDisk();
    const { file } = open(disk);
    disk.failNext({ fileName: KIND.fileName, operation: 'sync', errno: 5 });
    const outcomes = await Promise.allSettled([commit(file), commit(file), commit(file)]);
    expect(outcomes.map((outcome) => outcome.status)).to.deep.equal(Array(3).fill('rejected'));
  });

  it('makes durable what it was opened with, which a killed process may have left in memory only', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const disk = newDisk(seed);
      const { content, file } = open(disk);
      // Killed between the write of a slot and its sync.
      content.text = 'second';
      void commit(file).catch(() => undefined);
      await new Promise((resolve) => queueMicrotask(() => resolve(null)));
      disk.killProcess();
      const found = open(disk).content.text;
      disk.losePower();
      expect(open(disk).content.text).to.equal(found);
    }
  });
});
