/**
 * Goal: what rots is found though nobody reads it, repaired from a copy that is good, and counted.
 * Method: one volume of the simulator; rot is planted behind the backs of its stores.
 */
import { expect } from 'chai';
import { PAGE_BYTES } from '../../replica/src/store/extent-page.ts';
import { makeWrite } from '../../replica/src/store/simulated-volume.ts';
import { Scrub } from '../../target/src/replicator/index.ts';
import { SCRUB_PERIOD_MS } from '../../target/src/replicator/scrub.ts';
import { BLOCK, IMAGE, MIB, onStage, type Stage } from './stage.ts';

const META = '000001.meta';
const START_MS = Date.UTC(2026, 0, 1);

const content = Buffer.alloc(64 * BLOCK);
for (let at = 0; at < content.length; at += 4)
  content.writeUInt32LE((at * 2654435761) % 2 ** 32, at);

/** The scrubs of whichever target serves, on days that the test says. */
class Scrubs {
  readonly #stage: Stage;
  #scrub!: Scrub;
  wallMs = START_MS;

  constructor(stage: Stage, bytesPerSecond?: number) {
    this.#stage = stage;
    this.begin(bytesPerSecond);
  }

  begin(bytesPerSecond = 1024 * MIB): void {
    const stage = this.#stage;
    stage.untilHealthy();
    const host = stage.target.replicator;
    this.#scrub = new Scrub({ host, wallNow: () => this.wallMs, bytesPerSecond });
    this.#scrub.start();
    this.until(({ nextAt }) => nextAt !== null);
  }

  get status(): Scrub['status'] {
    return this.#scrub.status;
  }

  request(): void {
    this.#scrub.request();
  }

  until(condition: (status: Scrub['status']) => boolean): void {
    this.#stage.until(() => condition(this.status), 600_000);
  }

  untilIdle(): void {
    this.until(({ state }) => state === 'idle');
  }

  run(): void {
    this.request();
    this.untilIdle();
  }

  get lostBlocks(): number {
    return this.#stage.target.replicator.repairs.lostBlocks;
  }
}

const expectIdentical = (stage: Stage, expected = content): void => {
  const [first, ...others] = stage.replicas.map((replica) => stage.image(replica));
  expect(first!.subarray(0, expected.length).equals(expected)).to.equal(true);
  for (const image of others) expect(image.equals(first!)).to.equal(true);
};

const writeEachExtent = (stage: Stage): void => {
  for (let extent = 0; extent < 4; extent++) stage.io('write', extent * MIB, content);
};

/** One replica writes what no target has told it to. */
const writeBehind = (stage: Stage, offsetBytes: number, value: number): void => {
  const store = stage.replica(0).store!;
  const version = { epoch: store.state().promisedEpoch, seq: store.appliedSeq };
  store.apply(makeWrite(version, offsetBytes, Buffer.alloc(BLOCK, value)));
};

describe('the scrub of a volume', () => {
  it(
    'of sound copies finds nothing, and the next one is due 7 days later',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      expect([scrubs.status.state, scrubs.status.nextAt]).to.deep.equal([
        'idle',
        new Date(START_MS + SCRUB_PERIOD_MS).toISOString(),
      ]);
      scrubs.run();
      expect(scrubs.status).to.deep.include({ state: 'idle', badBlocks: 0, divergentBlocks: 0 });
      expect(scrubs.status.lastCompletedAt).to.equal(new Date(START_MS).toISOString());
    }),
  );

  it(
    'begins by itself when 7 days have passed, and that is remembered by the replicas',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      stage.rot(stage.replica(1), 5 * BLOCK);
      stage.target.kill();
      scrubs.wallMs += SCRUB_PERIOD_MS + 1;
      stage.startTarget();
      scrubs.begin();
      scrubs.until(({ lastCompletedAt }) => lastCompletedAt !== null);
      expect(scrubs.status.badBlocks).to.equal(1);
      expectIdentical(stage);
    }),
  );

  it(
    'repairs every block that another copy has, though no copy is whole',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      for (const index of [0, 1, 2]) {
        stage.rot(stage.replica(index), (10 + index) * BLOCK);
        stage.rot(stage.replica(index), (20 + 2 * index) * BLOCK + 100);
      }
      expect(stage.io('read', 0, content).data.equals(content)).to.equal(true);
      scrubs.run();
      expectIdentical(stage);
      expect(stage.target.replicator.assembly.resync.statistics.repairedBlocks).to.equal(6);
      expect(scrubs.lostBlocks).to.equal(0);
      scrubs.run();
      expect(scrubs.status.badBlocks).to.equal(0);
    }),
  );

  it(
    'brings a page back that has rotted, and what was lost with it',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      stage.target.stop();
      stage.until(() => !stage.target.alive);
      const replica = stage.replica(0);
      replica.away = true;
      replica.stop();
      stage.until(() => !replica.alive);
      // Its bitmap and its data: the copy looks as if it had never had anything there.
      stage.rot(replica, 70, META);
      replica.disk.open(IMAGE).punchHole(8 * BLOCK, 8 * BLOCK);
      stage.start(replica);
      stage.startTarget();
      scrubs.begin();
      scrubs.run();
      expect(stage.io('read', 0, content).data.equals(content)).to.equal(true);
      expectIdentical(stage);
      expect(scrubs.lostBlocks).to.equal(0);
    }),
  );

  it(
    'writes a page again that rotted under the one in memory',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      stage.runFor(60_000);
      stage.rot(stage.replica(2), 70, META);
      scrubs.run();
      expect(stage.replica(2).store!.counters().scrubErrors).to.equal(1);
      const page = Buffer.alloc(PAGE_BYTES);
      stage.replica(2).disk.open(META).read(page, 0, PAGE_BYTES, 0);
      expect(page.subarray(70, 72).equals(Buffer.from([0xba, 0xad]))).to.equal(false);
    }),
  );

  it(
    'of the only copy says what is lost, and takes it back when it was written again',
    onStage({ dataReplicas: 1 }, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      stage.rot(stage.replica(0), 7 * BLOCK);
      stage.rot(stage.replica(0), 9 * BLOCK);
      scrubs.run();
      expect(scrubs.status.badBlocks).to.equal(2);
      expect(scrubs.lostBlocks).to.equal(2);
      const { error } = stage.io('read', 0, content);
      expect([error?.code, error?.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 7 * BLOCK]);
      stage.io('write', 0, content);
      scrubs.run();
      expect(scrubs.lostBlocks).to.equal(0);
    }),
  );

  it(
    'of the only copy refuses a write to a part of a bad block, and goes on with the rest',
    onStage({ dataReplicas: 1 }, (stage) => {
      stage.io('write', 0, content);
      stage.rot(stage.replica(0), 7 * BLOCK);
      const part = Buffer.alloc(512, 9);
      const { error: refused } = stage.io('write', 7 * BLOCK + 1024, part);
      expect([refused?.code, refused?.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 7 * BLOCK]);
      expect(stage.io('write', 8 * BLOCK + 1024, part).error).to.equal(null);
      expect(stage.io('read', 8 * BLOCK, content.subarray(0, BLOCK)).error).to.equal(null);
      const { error } = stage.io('read', 7 * BLOCK, part);
      expect([error?.code, error?.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 7 * BLOCK]);
      stage.io('write', 7 * BLOCK, content.subarray(0, BLOCK));
      expect(stage.io('read', 7 * BLOCK, part).error).to.equal(null);
    }),
  );

  it(
    'takes a write to a part of a block that is bad in one copy',
    onStage({}, (stage) => {
      stage.io('write', 0, content);
      stage.rot(stage.replica(1), 7 * BLOCK);
      const part = Buffer.alloc(512, 9);
      expect(stage.io('write', 7 * BLOCK + 1024, part).error).to.equal(null);
      stage.untilHealthy();
      const expected = Buffer.from(content);
      part.copy(expected, 7 * BLOCK + 1024);
      expectIdentical(stage, expected);
    }),
  );

  it(
    'finds copies that differ though each passes its checksums, and lets the majority win',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      writeBehind(stage, 3 * BLOCK, 0xdd);
      scrubs.run();
      expect(scrubs.status).to.deep.include({ badBlocks: 0, divergentBlocks: 1 });
      expect(stage.target.replicator.assembly.resync.statistics.divergentBlocks).to.equal(1);
      expect(stage.log).to.match(/replicas differ although each copy passes/);
      expectIdentical(stage);
    }),
  );

  it(
    'takes a block that is not allocated and one of zeroes for the same',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage);
      stage.io('write', 0, content);
      writeBehind(stage, 100 * BLOCK, 0);
      scrubs.run();
      expect(scrubs.status).to.deep.include({ badBlocks: 0, divergentBlocks: 0 });
    }),
  );

  it(
    'goes on where it was when its target died',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage, 16 * 1024);
      writeEachExtent(stage);
      scrubs.request();
      scrubs.until(({ percent }) => percent === 75);
      const before = stage.replica(0).store!.counters().scrubbedBytes;
      expect(before).to.equal(3 * content.length);
      stage.target.kill();
      stage.startTarget();
      scrubs.begin(16 * 1024);
      scrubs.untilIdle();
      const again = stage.replica(0).store!.counters().scrubbedBytes - before;
      expect(again).to.be.within(content.length, 2 * content.length);
      expect(scrubs.status.lastCompletedAt).to.not.equal(null);
    }),
  );

  it(
    'keeps to its rate',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage, MIB / 10);
      writeEachExtent(stage);
      const before = stage.world.now;
      scrubs.run();
      expect(stage.world.now - before).to.be.within(29_000, 45_000);
    }),
  );

  it(
    'waits while the volume is held and goes on without the replica that is lost',
    onStage({}, (stage) => {
      const scrubs = new Scrubs(stage, MIB);
      writeEachExtent(stage);
      stage.rot(stage.replica(2), 3 * MIB);
      scrubs.request();
      scrubs.until(({ percent }) => percent > 0);
      stage.replica(0).kill();
      stage.replica(1).kill();
      scrubs.until(({ state }) => state === 'waiting');
      stage.start(stage.replica(1));
      scrubs.untilIdle();
      stage.start(stage.replica(0));
      stage.untilHealthy();
      expect(stage.io('read', 3 * MIB, content).data.equals(content)).to.equal(true);
    }),
  );
});
