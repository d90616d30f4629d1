import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BLOCK_BYTES, epoch, seq, session } from '@openebs/replica/protocol';
import { openStore, type Store } from '@openebs/replica/store';
import { makeWrite, numberedSectors } from '../../replica/src/store/simulated-volume.ts';

/**
 * What a read of 4 KiB costs through 50 layers and through one: random reads of a warm store in
 * this process, the same blocks, in turns, so that both meet the same machine.
 *
 *     npm run bench:layers -- [layers] [rounds]
 */
const LAYERS = Number(process.argv[2] ?? 50);
const ROUNDS = Number(process.argv[3] ?? 8);
const SIZE_BYTES = 64 * 1024 ** 2;
const BLOCKS = SIZE_BYTES / BLOCK_BYTES;
const READS_PER_ROUND = 100_000;
/** The page cache may have dropped some: those wait for the disk and are few. */
const MAX_COLD = READS_PER_ROUND / 1000;

/** Blocks in an order that looks random and is the same for both. */
const blockOf = (index: number): number => (index * 40_503) % BLOCKS;

const openNew = async (directory: string): Promise<Store> => {
  const id = '11111111-2222-4333-8444-555555555555';
  const create = { volumeId: id, replicaId: id, role: 'data', sizeBytes: SIZE_BYTES } as const;
  const store = await openStore({ directory, create });
  await store.promise(epoch(1), session(1));
  const record = { volumeId: id, epoch: epoch(1), configSeq: 1, inSync: [id], voters: [id] };
  await store.putRecord(record);
  return store;
};

const flushed = (store: Store): Promise<void> =>
  new Promise((resolve) => store.flush(() => resolve()));

/** Each layer gets its share of the blocks, spread over all extents. */
const fill = async (store: Store, layers: number): Promise<void> => {
  let last = 0;
  for (let layer = 1; layer <= layers; layer++) {
    for (let block = layer - 1; block < BLOCKS; block += layers) {
      last++;
      const version = { epoch: epoch(1), seq: seq(last) };
      const content = numberedSectors(block + 1, BLOCK_BYTES);
      store.apply(makeWrite(version, block * BLOCK_BYTES, content));
      if (last % 1000 === 0) await flushed(store);
    }
    await flushed(store);
    if (layer === layers) return;
    const name = `layer ${layer}`;
    const createdAt = new Date().toISOString();
    await store.changeLayers({ change: 'snapshot', head: layer + 1, name, createdAt });
  }
};

/** Everything in the page cache, and in the store's own. */
const warm = async (store: Store): Promise<void> => {
  const into = Buffer.alloc(BLOCK_BYTES);
  for (let block = 0; block < BLOCKS; block++) {
    await new Promise<void>((resolve) => {
      store.read(block * BLOCK_BYTES, into, Buffer.alloc(4), () => resolve());
    });
  }
};

/** Nanoseconds of one read. */
const measure = (store: Store): number => {
  const into = Buffer.alloc(BLOCK_BYTES);
  const checksums = Buffer.alloc(4);
  let done = 0;
  const start = process.hrtime.bigint();
  for (let index = 0; index < READS_PER_ROUND; index++) {
    const block = blockOf(index);
    store.read(block * BLOCK_BYTES, into, checksums, (error) => {
      if (error !== null) throw error;
      if (into.readUInt32LE(0) === block + 1) done++;
    });
  }
  const elapsed = Number(process.hrtime.bigint() - start);
  if (done < READS_PER_ROUND - MAX_COLD)
    throw new Error(`${READS_PER_ROUND - done} reads were not warm`);
  return elapsed / READS_PER_ROUND;
};

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

const root = mkdtempSync(path.join(tmpdir(), 'openebs-layers-'));
try {
  const flat = await openNew(path.join(root, 'flat'));
  const deep = await openNew(path.join(root, 'deep'));
  await fill(flat, 1);
  await fill(deep, LAYERS);
  await warm(flat);
  await warm(deep);
  const flatNs: number[] = [];
  const deepNs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    flatNs.push(measure(flat));
    deepNs.push(measure(deep));
  }
  const [one, many] = [median(flatNs), median(deepNs)];
  process.stdout.write(
    `random read of 4 KiB, warm: 1 layer ${one.toFixed(0)} ns, ${LAYERS} layers ` +
      `${many.toFixed(0)} ns, ratio ${(many / one).toFixed(2)}\n`,
  );
  await flat.close();
  await deep.close();
} finally {
  rmSync(root, { recursive: true, force: true });
}
