import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES, MAX_ATOMIC_BYTES } from '../protocol/types.ts';
import {
  SimulatedReplica,
  makeWrite,
  numberedSectors,
  seededRandom,
  versionOf,
} from './simulated-volume.ts';
import type { StoreWrite } from './types.ts';

/**
 * Goal: an atomic write is there wholly or not at all, whatever stops at whichever moment, and
 * nothing that was acknowledged after it is undone by it. Method: the process or the machine dies
 * before the nth change of the disk, for every n until the write is over.
 */
const SIZE_BYTES = 4 * EXTENT_BYTES;
/** Over the edge of two extents. */
const OFFSET = EXTENT_BYTES - 3 * BLOCK_BYTES;
const LENGTH = 8 * BLOCK_BYTES;
const EIO = 5;

class Scene {
  readonly replica: SimulatedReplica;
  #epoch = 0;
  #seq = 0;

  constructor(seed: number) {
    this.replica = new SimulatedReplica('one', SIZE_BYTES, seededRandom(seed));
  }

  async open(): Promise<void> {
    await this.replica.open();
    await this.activate();
  }

  async activate(): Promise<void> {
    this.#epoch += 1;
    this.#seq = 0;
    await this.replica.promise(this.#epoch);
    await this.replica.join(this.#epoch, 1, ['one']);
  }

  write(value: number, kind: StoreWrite['kind'], offset = OFFSET, length = LENGTH): void {
    this.#seq += 1;
    const content = numberedSectors(value, length);
    const version = versionOf(this.#epoch, this.#seq);
    this.replica.store.apply(makeWrite(version, offset, content, [], kind));
    content.fill(0xdd);
  }

  async idle(): Promise<void> {
    for (let turn = 0; turn < 200 && this.replica.store.appliedSeq !== this.#seq; turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
    expect(this.replica.store.appliedSeq).to.equal(this.#seq);
  }

  /** The numbers that the range holds, each once. */
  async values(offset = OFFSET, length = LENGTH): Promise<number[]> {
    const bytes = await this.replica.read(offset, length);
    if (typeof bytes === 'string') expect.fail(`the read answered ${bytes}`);
    const values = new Set<number>();
    for (let at = 0; at < length; at += 512) values.add(bytes.readUInt32LE(at));
    return [...values];
  }
}

/** False when the write was over before the nth change. */
async function dieAtChange(scene: Scene, change: number, power: boolean): Promise<boolean> {
  const { disk } = scene.replica;
  let left = change;
  let died = false;
  const isOver = (): boolean => died;
  disk.beforeChange = () => {
    if (died || left-- > 0) return;
    died = true;
    if (power) scene.replica.losePower();
    else scene.replica.killProcess();
  };
  // What the dead process still tries fails: its files are gone.
  scene.write(2, 'write-atomic');
  for (let turn = 0; turn < 60 && !isOver(); turn += 1)
    await new Promise((resolve) => setImmediate(resolve));
  disk.beforeChange = null;
  return died;
}

describe('an atomic write', () => {
  for (const power of [false, true])
    for (const before of ['nothing', 'data'] as const)
      it(`is whole or absent over ${before} when ${power ? 'the power goes' : 'the process dies'} before any change`, async () => {
        const seen = new Set<string>();
        for (let change = 0; ; change += 1) {
          const scene = new Scene(change);
          await scene.open();
          if (before === 'data') {
            scene.write(1, 'write');
            await scene.idle();
            expect(await scene.replica.flush()).to.equal(null);
          }
          const died = await dieAtChange(scene, change, power);
          if (!died) {
            expect(await scene.values()).to.deep.equal([2]);
            break;
          }
          await scene.replica.open();
          const values = await scene.values();
          expect(values, `before change ${change}`).to.have.length(1);
          expect(values[0]).to.be.oneOf([before === 'data' ? 1 : 0, 2]);
          seen.add(String(values[0]));
          // What was finished at the opening is as durable as what was written in one go.
          scene.replica.losePower();
          await scene.replica.open();
          expect(await scene.values(), `again after change ${change}`).to.deep.equal(values);
          // What is written next is not undone by an old record.
          await scene.activate();
          scene.write(3, 'write');
          await scene.idle();
          expect(await scene.replica.flush()).to.equal(null);
          scene.replica.losePower();
          await scene.replica.open();
          expect(await scene.values()).to.deep.equal([3]);
        }
        expect([...seen].sort()).to.deep.equal([before === 'data' ? '1' : '0', '2']);
      }).timeout(20_000);

  it('keeps its regions marked until it is done, however long they have rested', async () => {
    for (let turns = 0; turns < 24; turns += 2)
      for (const power of [false, true]) {
        const scene = new Scene(turns);
        await scene.open();
        scene.write(1, 'write');
        await scene.idle();
        expect(await scene.replica.flush()).to.equal(null);
        scene.replica.disk.slowSync = { fileName: 'redo', turns: 10 };
        scene.write(2, 'write-atomic');
        for (let turn = 0; turn < turns; turn += 1) {
          scene.replica.rest(4);
          await new Promise((resolve) => setImmediate(resolve));
        }
        if (power) scene.replica.losePower();
        else scene.replica.killProcess();
        await scene.replica.open();
        // Each block has its checksum, or the read would say so.
        const values = await scene.values();
        expect(values, `after ${turns} turns`).to.have.length(1);
        expect(values[0]).to.be.oneOf([1, 2]);
      }
  }).timeout(20_000);

  it('is on stable storage when it is applied, of the largest size too', async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const scene = new Scene(seed);
      await scene.open();
      const offset = 2 * EXTENT_BYTES - MAX_ATOMIC_BYTES / 2;
      scene.write(9, 'write-atomic', offset, MAX_ATOMIC_BYTES);
      await scene.idle();
      scene.replica.losePower();
      await scene.replica.open();
      expect(await scene.values(offset, MAX_ATOMIC_BYTES)).to.deep.equal([9]);
    }
  });

  it('keeps its place in the order of the operations, and in a layer of a snapshot', async () => {
    const scene = new Scene(1);
    await scene.open();
    for (const [value, kind] of [
      [1, 'write'],
      [2, 'write-atomic'],
      [3, 'write'],
      [4, 'write-atomic'],
      [5, 'write-atomic'],
    ] as const)
      scene.write(value, kind);
    const read = scene.values();
    const layered = scene.replica.store.changeLayers({
      change: 'snapshot',
      head: 2,
      name: 'one',
      createdAt: '2026-01-01T00:00:00.000Z',
    });
    expect(await read).to.deep.equal([5]);
    await layered;
    scene.write(6, 'write-atomic');
    await scene.idle();
    expect(await scene.values()).to.deep.equal([6]);
    scene.replica.losePower();
    await scene.replica.open();
    expect(await scene.values()).to.deep.equal([6]);
  });

  it('tells the range of the last one, also after a new start', async () => {
    const scene = new Scene(1);
    await scene.open();
    expect(scene.replica.store.state().atomic).to.deep.equal({
      maxBytes: MAX_ATOMIC_BYTES,
      last: null,
    });
    scene.write(2, 'write-atomic');
    await scene.idle();
    scene.replica.losePower();
    await scene.replica.open();
    expect(scene.replica.store.state().atomic?.last).to.deep.equal({
      offsetBytes: OFFSET,
      lengthBytes: LENGTH,
    });
  });

  it('that was under way is there wholly when the promise to the next target is answered', async () => {
    for (let turns = 0; turns < 6; turns += 1) {
      const scene = new Scene(turns);
      await scene.open();
      scene.write(1, 'write');
      await scene.idle();
      scene.write(2, 'write-atomic');
      for (let turn = 0; turn < turns; turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
      await scene.replica.promise(7);
      const [value, ...others] = await scene.values();
      expect(others).to.deep.equal([]);
      // Nothing comes after: what the new target sees now is what it compares.
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await scene.values()).to.deep.equal([value]);
      const versions = value === 2 ? ['1/2', 'unknown'] : ['1/1'];
      expect(scene.replica.versionText(0)).to.be.oneOf(versions);
    }
  });

  it('for which there is no space fails, and has changed nothing', async () => {
    const scene = new Scene(1);
    await scene.open();
    scene.write(1, 'write', OFFSET, BLOCK_BYTES);
    await scene.idle();
    scene.replica.disk.full = true;
    scene.write(2, 'write-atomic');
    expect(scene.replica.failure).to.equal('NO_SPACE');
    expect(await scene.values(OFFSET, BLOCK_BYTES)).to.deep.equal([1]);
    expect(await scene.values(OFFSET + BLOCK_BYTES, LENGTH - BLOCK_BYTES)).to.deep.equal([0]);
    scene.replica.disk.full = false;
    scene.replica.killProcess();
    await scene.replica.open();
    expect(await scene.values(OFFSET, BLOCK_BYTES)).to.deep.equal([1]);
  });

  for (const fileName of ['redo', '000001.img'])
    for (const operation of ['write', 'sync'] as const)
      it(`that a failing ${operation} of ${fileName} stops is whole or absent afterwards`, async () => {
        for (let skip = 0; skip < 2; skip += 1) {
          const scene = new Scene(skip);
          await scene.open();
          scene.write(1, 'write');
          await scene.idle();
          expect(await scene.replica.flush()).to.equal(null);
          if (skip > 0 && fileName === 'redo') {
            // The second change of the record is the one that says it is done.
            let changes = 0;
            scene.replica.disk.beforeChange = () => {
              changes += 1;
              if (changes === 5) scene.replica.disk.failNext({ fileName, operation, errno: EIO });
            };
          } else scene.replica.disk.failNext({ fileName, operation, errno: EIO, allowBytes: 5000 });
          scene.write(2, 'write-atomic');
          for (let turn = 0; turn < 20; turn += 1)
            await new Promise((resolve) => setImmediate(resolve));
          scene.replica.disk.beforeChange = null;
          expect(scene.replica.failure).to.be.oneOf(['IO_ERROR', 'FLUSH_FAILED']);
          scene.replica.killProcess();
          await scene.replica.open();
          expect(await scene.values()).to.have.length(1);
        }
      });
});
