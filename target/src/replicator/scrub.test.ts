/**
 * Goal: what rots is found though nobody reads it, repaired from a copy that is good, and counted.
 * Method: simulated replicas with the real store; rot is planted behind its back.
 */
import { expect } from 'chai';
import { PAGE_BYTES } from '../../../replica/src/store/extent-page.ts';
import { makeWrite } from '../../../replica/src/store/simulated-volume.ts';
import type { VolumeError } from '../volume.ts';
import { Scrub, SCRUB_PERIOD_MS } from './scrub.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const IMAGE = '000001.img';
const META = '000001.meta';
const START_MS = Date.UTC(2026, 0, 1);

class Scene {
  readonly simulation: Simulation;
  target!: SimulatedTarget;
  scrub!: Scrub;
  wallMs = START_MS;

  constructor(replicas: number) {
    this.simulation = new Simulation(17 + replicas, { replicas, sizeBytes: 4 * MIB });
  }

  async begin(bytesPerSecond = 1024 * MIB): Promise<this> {
    for (const replica of this.simulation.replicas) {
      if (!replica.alive) await replica.start();
    }
    this.target = this.simulation.target();
    const healthy = (): boolean => this.simulation.healthy(this.target);
    expect(await this.simulation.runUntil(healthy, 20_000)).to.equal(true);
    const wallNow = (): number => this.wallMs;
    this.scrub = new Scrub({ host: this.target.replicator, wallNow, bytesPerSecond });
    this.scrub.start();
    await this.until(() => this.scrub.status.nextAt !== null);
    return this;
  }

  async until(condition: () => boolean, withinMs = 600_000): Promise<void> {
    expect(await this.simulation.runUntil(condition, withinMs)).to.equal(true);
  }

  async scrubbed(): Promise<void> {
    this.scrub.request();
    await this.until(() => this.scrub.status.state === 'idle');
  }

  async io(kind: 'read' | 'write', offset: number, content: Buffer): Promise<Buffer | VolumeError> {
    let outcome: Buffer | VolumeError | null = null;
    this.target.replicator.submit(
      operation(kind, offset, content.length, [Buffer.from(content)], (error, io) => {
        outcome = error ?? Buffer.concat(io.chunks);
      }),
    );
    await this.until(() => outcome !== null);
    return outcome as unknown as Buffer | VolumeError;
  }

  damage(index: number, offset: number, file = IMAGE): void {
    this.simulation.replicas[index]!.disk.open(file).write(Buffer.from([0xba, 0xad]), offset);
  }

  image(index: number): Buffer {
    const image = Buffer.alloc(4 * MIB);
    this.simulation.replicas[index]!.disk.open(IMAGE).read(image, 0, image.length, 0);
    return image;
  }

  get statistics() {
    return this.target.replicator.assembly.resync.statistics;
  }

  expectIdentical(content: Buffer): void {
    const images = this.simulation.replicas.map((_, index) => this.image(index));
    expect(images.map((image) => image.subarray(0, content.length).equals(content))).to.deep.equal(
      images.map(() => true),
    );
    for (const image of images) expect(image.equals(images[0]!)).to.equal(true);
  }
}

const content = Buffer.alloc(64 * BLOCK);
for (let at = 0; at < content.length; at += 4)
  content.writeUInt32LE((at * 2654435761) % 2 ** 32, at);

const scene = (replicas: number): Promise<Scene> => new Scene(replicas).begin();

describe('the scrub of a volume', () => {
  it('of sound copies finds nothing, and the next one is due 7 days later', async () => {
    const { scrub, ...rest } = await withContent(3);
    const { status } = scrub;
    expect([status.state, status.nextAt]).to.deep.equal([
      'idle',
      new Date(START_MS + SCRUB_PERIOD_MS).toISOString(),
    ]);
    await rest.here.scrubbed();
    expect(scrub.status).to.deep.include({ state: 'idle', badBlocks: 0, divergentBlocks: 0 });
    expect(scrub.status.lastCompletedAt).to.equal(new Date(START_MS).toISOString());
  });

  it('begins by itself when 7 days have passed, and that is remembered by the replicas', async () => {
    const { here } = await withContent(3);
    here.damage(1, 5 * BLOCK);
    here.scrub.stop();
    here.simulation.killTarget(here.target);
    here.wallMs += SCRUB_PERIOD_MS + 1;
    await here.begin();
    await here.until(() => here.scrub.status.lastCompletedAt !== null);
    expect(here.scrub.status.badBlocks).to.equal(1);
    here.expectIdentical(content);
  });

  it('repairs every block that another copy has, though no copy is whole', async () => {
    const { here } = await withContent(3);
    for (const index of [0, 1, 2]) {
      here.damage(index, (10 + index) * BLOCK);
      here.damage(index, (20 + 2 * index) * BLOCK + 100);
    }
    expect(((await here.io('read', 0, content)) as Buffer).equals(content)).to.equal(true);
    await here.scrubbed();
    here.expectIdentical(content);
    expect(here.statistics.repairedBlocks).to.equal(6);
    expect(here.target.replicator.repairs.lostBlocks).to.equal(0);
    await here.scrubbed();
    expect(here.scrub.status.badBlocks).to.equal(0);
  });

  it('brings a page back that has rotted, and what was lost with it', async () => {
    const { here } = await withContent(3);
    here.scrub.stop();
    await closed(here);
    const replica = here.simulation.replicas[0]!;
    await replica.store.close();
    replica.kill(false);
    // Its bitmap and its data: the copy looks as if it had never had anything there.
    here.damage(0, 70, META);
    replica.disk.open(IMAGE).punchHole(8 * BLOCK, 8 * BLOCK);
    await here.begin();
    await here.scrubbed();
    expect(((await here.io('read', 0, content)) as Buffer).equals(content)).to.equal(true);
    here.expectIdentical(content);
    expect(here.target.replicator.repairs.lostBlocks).to.equal(0);
  });

  it('writes a page again that rotted under the one in memory', async () => {
    const { here } = await withContent(3);
    await here.simulation.runFor(60_000);
    here.damage(2, 70, META);
    await here.scrubbed();
    expect(here.simulation.replicas[2]!.store.counters().scrubErrors).to.equal(1);
    const page = Buffer.alloc(PAGE_BYTES);
    here.simulation.replicas[2]!.disk.open(META).read(page, 0, PAGE_BYTES, 0);
    expect(page.subarray(70, 72).equals(Buffer.from([0xba, 0xad]))).to.equal(false);
  });

  it('of the only copy says what is lost, and takes it back when it was written again', async () => {
    const { here } = await withContent(1);
    here.damage(0, 7 * BLOCK);
    here.damage(0, 9 * BLOCK);
    await here.scrubbed();
    expect(here.scrub.status.badBlocks).to.equal(2);
    expect(here.target.replicator.repairs.lostBlocks).to.equal(2);
    const error = (await here.io('read', 0, content)) as VolumeError;
    expect([error.code, error.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 7 * BLOCK]);
    await here.io('write', 0, content);
    await here.scrubbed();
    expect(here.target.replicator.repairs.lostBlocks).to.equal(0);
  });

  it('of the only copy refuses a write to a part of a bad block, and goes on with the rest', async () => {
    const { here } = await withContent(1);
    here.damage(0, 7 * BLOCK);
    const part = Buffer.alloc(512, 9);
    const refused = (await here.io('write', 7 * BLOCK + 1024, part)) as VolumeError;
    expect([refused.code, refused.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 7 * BLOCK]);
    expect(await here.io('write', 8 * BLOCK + 1024, part)).to.not.have.property('code');
    expect(await here.io('read', 8 * BLOCK, content.subarray(0, BLOCK))).to.be.instanceof(Buffer);
    const error = (await here.io('read', 7 * BLOCK, part)) as VolumeError;
    expect([error.code, error.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 7 * BLOCK]);
    await here.io('write', 7 * BLOCK, content.subarray(0, BLOCK));
    expect(await here.io('read', 7 * BLOCK, part)).to.be.instanceof(Buffer);
  });

  it('takes a write to a part of a block that is bad in one copy', async () => {
    const { here } = await withContent(3);
    here.damage(1, 7 * BLOCK);
    const part = Buffer.alloc(512, 9);
    expect(await here.io('write', 7 * BLOCK + 1024, part)).to.not.have.property('code');
    await here.until(() => here.simulation.healthy(here.target));
    const expected = Buffer.from(content);
    part.copy(expected, 7 * BLOCK + 1024);
    here.expectIdentical(expected);
  });

  it('finds copies that differ though each passes its checksums, and lets the majority win', async () => {
    const { here } = await withContent(3);
    const { store } = here.simulation.replicas[0]!;
    const version = { epoch: store.state().promisedEpoch, seq: store.appliedSeq };
    store.apply(makeWrite(version, 3 * BLOCK, Buffer.alloc(BLOCK, 0xdd)));
    await here.scrubbed();
    expect(here.scrub.status).to.deep.include({ badBlocks: 0, divergentBlocks: 1 });
    expect(here.statistics.divergentBlocks).to.equal(1);
    expect(here.simulation.log.join('\n')).to.match(/replicas differ although each copy passes/);
    here.expectIdentical(content);
  });

  it('takes a block that is not allocated and one of zeroes for the same', async () => {
    const { here } = await withContent(3);
    const { store } = here.simulation.replicas[0]!;
    const version = { epoch: store.state().promisedEpoch, seq: store.appliedSeq };
    store.apply(makeWrite(version, 100 * BLOCK, Buffer.alloc(BLOCK)));
    await here.scrubbed();
    expect(here.scrub.status).to.deep.include({ badBlocks: 0, divergentBlocks: 0 });
  });

  it('goes on where it was when its target died', async () => {
    const here = await new Scene(3).begin(16 * 1024);
    for (let extent = 0; extent < 4; extent++) await here.io('write', extent * MIB, content);
    here.scrub.request();
    await here.until(() => here.scrub.status.percent === 75);
    const scrubbed = here.simulation.replicas[0]!.store.counters().scrubbedBytes;
    expect(scrubbed).to.equal(3 * content.length);
    here.simulation.killTarget(here.target);
    await here.begin(16 * 1024);
    await here.until(() => here.scrub.status.state === 'idle');
    const again = here.simulation.replicas[0]!.store.counters().scrubbedBytes - scrubbed;
    expect(again).to.be.within(content.length, 2 * content.length);
    expect(here.scrub.status.lastCompletedAt).to.not.equal(null);
  });

  it('keeps to its rate', async () => {
    const here = await new Scene(3).begin(MIB / 10);
    for (let extent = 0; extent < 4; extent++) await here.io('write', extent * MIB, content);
    const before = here.simulation.now;
    await here.scrubbed();
    expect(here.simulation.now - before).to.be.within(29_000, 45_000);
  });

  it('waits while the volume is held and goes on without the replica that is lost', async () => {
    const here = await new Scene(3).begin(MIB);
    for (let extent = 0; extent < 4; extent++) await here.io('write', extent * MIB, content);
    here.damage(2, 3 * MIB);
    here.scrub.request();
    await here.until(() => here.scrub.status.percent > 0);
    here.simulation.replicas[0]!.kill(false);
    here.simulation.replicas[1]!.kill(false);
    await here.until(() => here.scrub.status.state === 'waiting');
    await here.simulation.replicas[1]!.start();
    await here.until(() => here.scrub.status.state === 'idle');
    await here.simulation.replicas[0]!.start();
    await here.until(() => here.simulation.healthy(here.target));
    expect(((await here.io('read', 3 * MIB, content)) as Buffer).equals(content)).to.equal(true);
  });
});

const withContent = async (replicas: number): Promise<{ here: Scene; scrub: Scrub }> => {
  const here = await scene(replicas);
  await here.io('write', 0, content);
  return { here, scrub: here.scrub };
};

const closed = async (here: Scene): Promise<void> => {
  let done = false;
  void here.target.replicator.close().then(() => (done = true));
  await here.until(() => done);
  here.simulation.killTarget(here.target);
};
