import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES, epoch, session } from '../protocol/types.ts';
import { MAX_DOCUMENTS_BYTES } from '../limits.ts';
import { StoreError } from './errors.ts';
import {
  SimulatedReplica,
  makeWrite,
  numberedSectors,
  seededRandom,
  versionOf,
} from './simulated-volume.ts';

const SIZE_BYTES = 2 * REGION_BYTES;
const ENOSPC = 28;
const EIO = 5;

async function codeOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
  return 'none';
}

describe('a store and its sessions', () => {
  let replica: SimulatedReplica;
  let seq = 0;

  beforeEach(async () => {
    replica = new SimulatedReplica('one', SIZE_BYTES, seededRandom(1));
    await replica.open();
    await replica.promise(1);
    await replica.join(1, 1, ['one']);
    seq = 0;
  });

  function write(value: number, offsetBytes: number, lengthBytes = BLOCK_BYTES): void {
    seq += 1;
    const content = numberedSectors(value, lengthBytes);
    replica.store.apply(makeWrite(versionOf(1, seq), offsetBytes, content));
  }

  async function holds(value: number, offsetBytes: number): Promise<void> {
    const found = await replica.read(offsetBytes, BLOCK_BYTES);
    expect(found).to.deep.equal(numberedSectors(value, BLOCK_BYTES));
  }

  async function restart(): Promise<void> {
    await replica.close();
    await replica.open();
  }

  it('keep a promise over a restart, refuse lower epochs and other sessions', async () => {
    await replica.promise(9);
    replica.killProcess();
    await replica.open();
    expect(replica.store.state().promisedEpoch).to.equal(9);
    expect(await codeOf(replica.store.promise(epoch(8), session(8)))).to.equal('EPOCH_STALE');
    expect(await codeOf(replica.store.promise(epoch(9), session(1)))).to.equal('EPOCH_STALE');
    expect(await codeOf(replica.store.promise(epoch(9), session(9)))).to.equal('none');
  });

  it('give one of two promises of an epoch that come together', async () => {
    const { store } = replica;
    const outcomes = await Promise.all([
      codeOf(store.promise(epoch(5), session(1))),
      codeOf(store.promise(epoch(5), session(2))),
    ]);
    expect(outcomes).to.deep.equal(['none', 'EPOCH_STALE']);
  });

  it('take no operation of an epoch below the promised one', async () => {
    await replica.promise(2);
    write(1, 0);
    expect(await replica.flush()).to.equal(null);
    await holds(0, 0);
  });

  it('forget at a new promise what still waited for a mark', async () => {
    write(1, 0);
    const flushed = replica.flush();
    await replica.promise(2);
    expect(await flushed).to.equal('EPOCH_STALE');
    await holds(0, 0);
    expect(replica.versionText(0)).to.equal('0/0');
  });

  it('keep the newest record and refuse older ones', async () => {
    await replica.promise(3);
    await replica.join(3, 5, ['one', 'two']);
    expect(await codeOf(replica.join(3, 4, ['one']))).to.equal('RECORD_STALE');
    expect(await codeOf(replica.join(2, 9, ['one']))).to.equal('RECORD_STALE');
    expect(await codeOf(replica.join(3, 5, ['one']))).to.equal('RECORD_STALE');
    expect(await codeOf(replica.join(3, 5, ['two', 'one']))).to.equal('none');
    await restart();
    expect(replica.store.state().record?.configSeq).to.equal(5);
  });

  it('refuse the record of another volume and one that is too large', async () => {
    const record = { epoch: epoch(1), configSeq: 7, inSync: ['one'], voters: ['one'] };
    const { store } = replica;
    expect(await codeOf(store.putRecord({ ...record, volumeId: 'x' }))).to.equal('WRONG_VOLUME');
    const voters = ['x'.repeat(20_000)];
    const large = { ...record, volumeId: 'volume', voters };
    expect(await codeOf(store.putRecord(large))).to.equal('TOO_LARGE');
  });

  it('keep documents over a restart, together at most 64 KiB', async () => {
    const { store } = replica;
    await store.putDocument('reservations', Buffer.from('held'));
    expect(await codeOf(store.putDocument('__proto__', Buffer.from('x')))).to.equal('OUT_OF_RANGE');
    const tooLarge = new Uint8Array(MAX_DOCUMENTS_BYTES);
    expect(await codeOf(store.putDocument('big', tooLarge))).to.equal('TOO_LARGE');
    replica.killProcess();
    await replica.open();
    expect(Buffer.from(replica.store.getDocument('reservations')!).toString()).to.equal('held');
    expect(replica.store.getDocument('big')).to.equal(null);
  });

  it('report what was applied once, also what had to wait for a mark', async () => {
    write(1, 0);
    replica.store.settle();
    expect(replica.appliedSeq).to.equal(0);
    expect(await replica.flush()).to.equal(null);
    expect(replica.appliedSeq).to.equal(1);
    write(2, 0);
    expect(replica.appliedSeq).to.equal(1);
    replica.store.settle();
    expect(replica.appliedSeq).to.equal(2);
  });

  it('answer what is outside the volume, or not whole sectors, with OUT_OF_RANGE', async () => {
    expect(await replica.read(SIZE_BYTES, BLOCK_BYTES)).to.equal('OUT_OF_RANGE');
    expect(await replica.read(1, 512)).to.equal('OUT_OF_RANGE');
    expect(() => replica.store.allocation(0, SIZE_BYTES + 512)).to.throw(StoreError);
    expect(() => replica.store.extentVersions(7, 2)).to.throw(StoreError);
    expect(() => replica.store.extentChecksums(8)).to.throw(StoreError);
    write(1, SIZE_BYTES);
    expect(replica.failure).to.equal('OUT_OF_RANGE');
  });

  it('answer with CLOSED after the store was closed', async () => {
    const { store } = replica;
    await store.close();
    let code: string | undefined;
    store.flush((error) => (code = error?.code));
    expect(code).to.equal('CLOSED');
    expect(await codeOf(store.promise(epoch(4), session(4)))).to.equal('CLOSED');
  });

  for (const [errno, code] of [
    [ENOSPC, 'NO_SPACE'],
    [EIO, 'IO_ERROR'],
  ] as const)
    it(
      `apply nothing more after a write failed with ${code}, read on, and know that the extent ` +
        'is unknown',
      async () => {
        write(1, 0);
        write(1, EXTENT_BYTES);
        await replica.flush();
        const allowBytes = BLOCK_BYTES;
        replica.disk.failNext({ fileName: '000001.img', operation: 'write', errno, allowBytes });
        write(2, 0, 3 * BLOCK_BYTES);
        expect(replica.failure).to.equal(code);
        write(3, EXTENT_BYTES);
        // Half of the failed write arrived: each block is the old or the new one, with its right
        // checksum.
        await holds(2, 0);
        await holds(0, BLOCK_BYTES);
        await holds(1, EXTENT_BYTES);
        expect(replica.versionText(0)).to.equal('unknown');
        expect(replica.versionText(1)).to.equal('1/2');
        expect(await replica.flush()).to.equal(code);
      },
    );

  it('take operations again in the next session after the disk was full', async () => {
    write(1, 0);
    await replica.flush();
    replica.disk.failNext({ fileName: '000001.img', operation: 'write', errno: ENOSPC });
    write(2, 0);
    await replica.promise(2);
    const content = numberedSectors(3, BLOCK_BYTES);
    replica.store.apply(makeWrite(versionOf(2, 1), 0, content));
    expect(await replica.flush()).to.equal(null);
    await holds(3, 0);
    expect(replica.versionText(0)).to.equal('unknown');
  });

  it('never sync again after one sync failed', async () => {
    write(1, 0);
    await replica.flush();
    write(2, 0);
    replica.disk.failNext({ fileName: '000001.img', operation: 'sync', errno: EIO });
    expect(await Promise.all([replica.flush(), replica.flush()])).to.deep.equal([
      'FLUSH_FAILED',
      'FLUSH_FAILED',
    ]);
    expect(replica.failure).to.equal('FLUSH_FAILED');
    await replica.promise(2);
    expect(await replica.flush()).to.equal('FLUSH_FAILED');
    expect(await codeOf(replica.close())).to.equal('FLUSH_FAILED');
    await replica.open();
    expect(replica.store.state().cleanStart).to.equal(false);
    expect(replica.versionText(0)).to.equal('unknown');
  });

  it('fail when the activity log cannot be written, before the data is touched', async () => {
    replica.disk.failNext({ fileName: 'activity', operation: 'write', errno: EIO });
    write(1, 0);
    expect(await replica.flush()).to.equal('IO_ERROR');
    await holds(0, 0);
  });

  it('fail when an extent page cannot be written, and believe the data then', async () => {
    write(1, 0);
    await replica.flush();
    replica.disk.failNext({ fileName: '000001.meta', operation: 'write', errno: ENOSPC });
    replica.rest(3);
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(replica.failure).to.equal('NO_SPACE');
    await holds(1, 0);
    await replica.promise(2);
    const content = numberedSectors(2, BLOCK_BYTES);
    replica.store.apply(makeWrite(versionOf(2, 1), REGION_BYTES, content));
    expect(await replica.flush()).to.equal(null);
    await restart();
    await holds(1, 0);
    await holds(2, REGION_BYTES);
  });

  it('stay dead for all sessions once the activity log failed', async () => {
    replica.disk.failNext({ fileName: 'activity', operation: 'sync', errno: ENOSPC });
    write(1, 0);
    expect(await replica.flush()).to.equal('NO_SPACE');
    await replica.promise(2);
    expect(await replica.flush()).to.equal('NO_SPACE');
  });

  it('give sessions the way to compare: allocation, checksums, versions', async () => {
    write(1, 3 * BLOCK_BYTES);
    write(2, EXTENT_BYTES + 9 * BLOCK_BYTES);
    await replica.flush();
    const bitmap = replica.store.allocation(BLOCK_BYTES, 2 * EXTENT_BYTES);
    const set = [...bitmap].flatMap((byte, at) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (1 << bit)).map((bit) => at * 8 + bit),
    );
    expect(set).to.deep.equal([2, 264]);
    const checksums = Buffer.from(replica.store.extentChecksums(0));
    const { checksums: expected } = makeWrite(
      versionOf(1, 1),
      0,
      numberedSectors(1, BLOCK_BYTES),
    ) as { checksums: Uint8Array };
    expect(checksums.length).to.equal(1024);
    expect(checksums.subarray(12, 16)).to.deep.equal(expected);
    expect(checksums.readUInt32LE(0)).to.equal(0);
    expect([0, 1, 2].map((extent) => replica.versionText(extent))).to.deep.equal([
      '1/1',
      '1/2',
      '0/0',
    ]);
  });
});
