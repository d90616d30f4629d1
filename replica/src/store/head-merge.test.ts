/**
 * Goal: what is unmapped while a layer is merged into the head stays unmapped when the layer has
 * gone. Method: the unmap comes at each moment of the merge in turn.
 */
import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import {
  makeWrite,
  numberedSectors,
  seededRandom,
  SimulatedReplica,
  versionOf,
} from './simulated-volume.ts';

const AT = '2026-01-01T00:00:00.000Z';
const EPOCH = 1;
const MOMENTS = 12;
/** More than are merged at one moment. */
const EXTENTS = 80;
const OLDEST = 1;
const HIDING = 2;

describe('a merge into the head', () => {
  it('leaves no block to be seen that was unmapped meanwhile', async () => {
    for (let moment = 0; moment < MOMENTS; moment += 1) {
      const replica = new SimulatedReplica('one', EXTENTS * EXTENT_BYTES, seededRandom(1));
      await replica.open();
      await replica.promise(EPOCH);
      await replica.join(EPOCH, 1, [replica.replicaId]);
      let seq = 0;
      const write = (value: number): void => {
        for (let extent = 0; extent < EXTENTS; extent += 1) {
          const version = versionOf(EPOCH, (seq += 1));
          const content = numberedSectors(value, BLOCK_BYTES);
          replica.store.apply(makeWrite(version, extent * EXTENT_BYTES, content));
        }
      };
      const unmap = (): void => {
        const version = versionOf(EPOCH, (seq += 1));
        const lengthBytes = EXTENTS * EXTENT_BYTES;
        replica.store.apply({ kind: 'unmap', version, offsetBytes: 0, lengthBytes });
      };
      const snapshot = (head: number): Promise<void> =>
        replica.store.changeLayers({ change: 'snapshot', head, name: `${head}`, createdAt: AT });
      const pass = async (): Promise<void> => {
        replica.moment();
        for (let each = 0; each < 40; each += 1) await new Promise((done) => setImmediate(done));
      };
      write(7);
      await snapshot(HIDING);
      unmap();
      await snapshot(HIDING + 1);
      write(8);
      await replica.store.changeLayers({ change: 'delete', layer: HIDING });
      for (let each = 0; each < moment; each += 1) await pass();
      unmap();
      const layers = (): number[] => replica.store.state().layers.map(({ id }) => id);
      for (let each = 0; each < 200 && layers().includes(HIDING); each += 1) await pass();
      expect(layers()).to.deep.equal([OLDEST, HIDING + 1]);
      for (let extent = 0; extent < EXTENTS; extent += 1) {
        const found = await replica.read(extent * EXTENT_BYTES, BLOCK_BYTES);
        const what = `extent ${extent}, moment ${moment}`;
        expect(typeof found === 'string' ? found : found.readUInt32LE(0), what).to.equal(0);
      }
    }
  });
});
