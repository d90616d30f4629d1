/**
 * Goal: frozen layers are copied as the head is: several extents at a time, and no faster than the
 * limit. Method: a replica is away while a snapshot is made; each piece is counted from the read at
 * its source until the member has it.
 */
import { expect } from 'chai';
import type { Store } from '../../replica/src/store/index.ts';
import { REPLICATOR_LIMITS } from '../../target/src/limits.ts';
import { BLOCK, MIB, onStage, type Stage } from './stage.ts';

const EXTENTS = 32;
const AWAY = 2;
/** What an extent costs at least in the token bucket. */
const COST_BYTES = 32 * 1024;

class Copies {
  pieces = 0;
  mostUnderWay = 0;
  #underWay = 0;

  countReads(store: Store): void {
    const read = store.readLayer.bind(store);
    store.readLayer = (layer, request) => {
      this.pieces++;
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay);
      read(layer, request);
    };
  }

  countFills(store: Store): void {
    const fill = store.fillLayer.bind(store);
    store.fillLayer = (layer, what, done) => {
      this.#underWay--;
      fill(layer, what, done);
    };
  }
}

const loseOneAndSnapshot = (stage: Stage): void => {
  stage.replica(AWAY).kill();
  for (let extent = 0; extent < EXTENTS; extent++) {
    stage.io('write', extent * MIB, Buffer.alloc(BLOCK, extent + 1));
  }
  const { layers } = stage.target.replicator.assembly;
  stage.settled(layers.snapshot('point', '2026-11-24T11:00:00.000Z'));
};

const bringBack = (stage: Stage): Copies => {
  const copies = new Copies();
  const away = stage.replica(AWAY);
  stage.start(away);
  copies.countFills(away.store!);
  for (const { store } of stage.replicas.slice(0, AWAY)) copies.countReads(store!);
  stage.untilHealthy();
  return copies;
};

describe('a frozen layer that a member lacks', () => {
  it(
    'is copied several extents at a time',
    onStage({ sizeBytes: EXTENTS * MIB }, (stage) => {
      loseOneAndSnapshot(stage);
      const { pieces, mostUnderWay } = bringBack(stage);
      expect(pieces).to.equal(EXTENTS);
      expect(mostUnderWay).to.equal(REPLICATOR_LIMITS.rebuildWidth);
    }),
  );

  it(
    'is copied no faster than the limit',
    onStage({ sizeBytes: EXTENTS * MIB }, (stage) => {
      loseOneAndSnapshot(stage);
      const { pace } = stage.target.replicator.assembly.resync;
      pace.limitBytesPerSecond = (EXTENTS * COST_BYTES) / 4;
      const startedMs = stage.world.now;
      const { pieces } = bringBack(stage);
      // One extent may be caught up at once.
      expect(stage.world.now - startedMs).to.be.within(2_500, 30_000);
      expect(pieces).to.equal(EXTENTS);
    }),
  );
});
