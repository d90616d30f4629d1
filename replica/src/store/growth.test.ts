import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import {
  SimulatedReplica,
  makeWrite,
  numberedSectors,
  seededRandom,
  versionOf,
} from './simulated-volume.ts';

const OLD = 2 * EXTENT_BYTES + 3 * BLOCK_BYTES;
const NEW = 6 * EXTENT_BYTES + 5 * BLOCK_BYTES;
const FILES = ['000001.img', '000001.meta'];

const codeOf = async (action: Promise<unknown>): Promise<string> => {
  try {
    await action;
    return 'none';
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
};

describe('a copy that grows', () => {
  let replica: SimulatedReplica;
  let seq = 0;

  beforeEach(async () => {
    // What the daemon is started with is what the volume is to have one day.
    replica = new SimulatedReplica('one', OLD, seededRandom(1));
    await replica.open();
    await replica.close();
    replica.sizeBytes = NEW;
    await replica.open();
    await replica.promise(1);
    await replica.join(1, 1, ['one']);
    seq = 0;
  });

  const write = (value: number, offsetBytes: number, epoch = 1): void => {
    seq += 1;
    const content = numberedSectors(value, BLOCK_BYTES);
    replica.store.apply(makeWrite(versionOf(epoch, seq), offsetBytes, content));
  };

  const holds = async (value: number, offsetBytes: number): Promise<void> => {
    const wanted = value === 0 ? Buffer.alloc(BLOCK_BYTES) : numberedSectors(value, BLOCK_BYTES);
    expect(await replica.read(offsetBytes, BLOCK_BYTES)).to.deep.equal(wanted);
  };

  it('keeps its size when the daemon is told a larger one, until its target says so', async () => {
    expect(replica.store.identity.sizeBytes).to.equal(OLD);
    expect(await replica.read(OLD, BLOCK_BYTES)).to.equal('OUT_OF_RANGE');
  });

  it('keeps what it had and reads zero where it is new, also after a loss of power', async () => {
    write(1, 0);
    write(2, OLD - BLOCK_BYTES);
    await replica.store.resize(NEW);
    await holds(0, OLD);
    write(3, OLD);
    write(4, NEW - BLOCK_BYTES);
    await replica.flush();
    for (const end of ['none', 'power', 'close']) {
      if (end === 'power') replica.losePower();
      if (end === 'close') await replica.close();
      if (end !== 'none') await replica.open();
      expect(replica.store.identity.sizeBytes).to.equal(NEW);
      await holds(1, 0);
      await holds(2, OLD - BLOCK_BYTES);
      await holds(3, OLD);
      await holds(0, 4 * EXTENT_BYTES);
      await holds(4, NEW - BLOCK_BYTES);
    }
  });

  it('tells bitmap, checksums and versions of the new part like of the old one', async () => {
    await replica.store.resize(NEW);
    write(7, 5 * EXTENT_BYTES + BLOCK_BYTES);
    await replica.flush();
    expect(replica.versionText(5)).to.equal('1/1');
    expect(replica.versionText(6)).to.equal('0/0');
    const bitmap = replica.store.allocation(5 * EXTENT_BYTES, 8 * BLOCK_BYTES);
    expect([...bitmap]).to.deep.equal([2]);
    expect(replica.store.extentChecksums(6)).to.have.length(4 * 5);
  });

  it('has one size or the other after a crash at any step', async () => {
    for (const steps of [1, 2]) {
      write(steps, 0, steps);
      await replica.flush();
      for (const name of FILES.slice(0, steps)) replica.disk.open(name).truncate(16 * EXTENT_BYTES);
      replica.killProcess();
      await replica.open();
      expect(replica.store.identity.sizeBytes).to.equal(OLD);
      await holds(steps, 0);
      await replica.promise(1 + steps);
      await replica.join(1 + steps, 1, ['one']);
    }
    await replica.store.resize(NEW);
    await holds(2, 0);
    await holds(0, NEW - BLOCK_BYTES);
  });

  it('is not opened when something is where it should have ended', async () => {
    await replica.close();
    replica.disk.open('000001.img').write(Buffer.from([1]), OLD + EXTENT_BYTES);
    expect(await codeOf(replica.open())).to.equal('WRONG_SIZE');
  });

  it('never shrinks, and never exceeds what a volume may have', async () => {
    expect(await codeOf(replica.store.resize(OLD - BLOCK_BYTES))).to.equal('WRONG_SIZE');
    expect(await codeOf(replica.store.resize(2 ** 50))).to.equal('TOO_LARGE');
    expect(await codeOf(replica.store.resize(OLD))).to.equal('none');
    expect(replica.store.identity.sizeBytes).to.equal(OLD);
  });
});
