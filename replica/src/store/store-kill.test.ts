import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import { RealStore, removeDirectory, temporaryDirectory } from './real-store.test-support.ts';
import { seededRandom } from './simulated-volume.ts';

const { spawn } = process.getBuiltinModule('node:child_process');

/**
 * Goal: every write that was acknowledged before kill -9 is there afterwards, and no version is
 * told where the metadata may lag behind. Method: another process writes numbered blocks and prints
 * each number once it is acknowledged; it is killed in the middle of that, after a number of
 * acknowledgements that differs from round to round.
 */
const SIZE_BYTES = 16 * REGION_BYTES;
const BLOCKS = SIZE_BYTES / BLOCK_BYTES;
const ROUNDS = Number(process.env['STORE_KILL_ROUNDS'] ?? 3);

const blockOf = (value: number): number => (value * 7919) % BLOCKS;

function writer(directory: string, first: number): string {
  const real = JSON.stringify(import.meta.resolve('./real-store.test-support.ts'));
  return `
    const { RealStore } = await import(${real});
    const one = new RealStore(${JSON.stringify(directory)}, ${SIZE_BYTES});
    await one.open();
    let value = ${first};
    let printed = value;
    one.store.setEvents({
      failed: (error) => { throw error; },
      applied: (seq) => { process._rawDebug(String(${first} + seq)); },
    });
    for (;;) {
      for (let batch = 0; batch < 16; batch += 1) {
        value += 1;
        one.write(value, ((value * 7919) % ${BLOCKS}) * ${BLOCK_BYTES});
      }
      one.store.settle();
      await new Promise((resolve) => setImmediate(resolve));
      if (value % 512 === 0) await one.flush();
    }`;
}

/**
 * Lets the writer run until it has acknowledged so many more, kills it, and returns the last number
 * that it printed.
 */
function runAndKill(directory: string, first: number, acknowledged: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--input-type=module', '--eval', writer(directory, first)],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const last = Number(text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1));
      if (Number.isNaN(last)) reject(new Error(text));
      if (last >= first + acknowledged) child.kill('SIGKILL');
    });
    child.on('close', (_code, signal) => {
      const complete = text.slice(0, text.lastIndexOf('\n')).split('\n');
      if (signal === 'SIGKILL') resolve(Number(complete.at(-1)));
      else reject(new Error(text));
    });
  });
}

describe('a store whose process is killed', () => {
  it('has every write that it acknowledged, and knows what it does not know', async () => {
    const directory = temporaryDirectory();
    const random = seededRandom(7);
    const newest = new Map<number, number>();
    let first = 0;
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        const last = await runAndKill(directory, first, 16 + Math.floor(random() * 4000));
        for (let value = first + 1; value <= last; value += 1) newest.set(blockOf(value), value);
        const one = new RealStore(directory, SIZE_BYTES);
        await one.open();
        expect(one.store.state().cleanStart).to.equal(false);
        expect(one.store.state().sameBoot).to.equal(true);
        const extent = Math.floor((blockOf(last) * BLOCK_BYTES) / EXTENT_BYTES);
        expect(one.isUnknown(extent)).to.equal(true);
        let highest = last;
        for (const [block, value] of newest) {
          const found = Number(await one.read(block * BLOCK_BYTES));
          highest = Math.max(highest, found);
          // A later write of the same block may have been applied without its acknowledgement being
          // seen.
          const legal = found === value || (found > last && blockOf(found) === block);
          if (!legal) expect.fail(`block ${block} holds ${found} instead of ${value}`);
          newest.set(block, found);
        }
        // What was applied behind the last acknowledgement that was seen must not look like the
        // next round's.
        first = highest + BLOCKS;
        await one.close();
      }
    } finally {
      removeDirectory(directory);
    }
  }).timeout(60_000);
});
