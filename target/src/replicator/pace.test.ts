import { expect } from 'chai';
import { EXTENT_BYTES } from '@openebs/replica/protocol';
import { Histogram, LATENCY_BOUNDS_SECONDS } from '@openebs/replica/runtime';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Environment } from './environment.ts';
import { Pace, type PaceRun } from './pace.ts';
import { createStatistics, type VolumeStatistics } from './statistics.ts';

const MIB = 1024 * 1024;

/** Time that stands still until it is told to go on. */
class TestTime {
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  readonly environment = {
    now: () => this.#nowMs,
    after: (delayMs: number, callback: () => void) => {
      const timer = { atMs: this.#nowMs + delayMs, callback };
      this.#timers.push(timer);
      return () => {
        this.#timers = this.#timers.filter((each) => each !== timer);
      };
    },
  } as unknown as Environment;

  get pending(): number {
    return this.#timers.length;
  }

  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)) {
      this.#timers = this.#timers.filter((each) => each !== timer);
      timer.callback();
    }
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }
}

/** A rebuild whose extents take a millisecond each, next to an application. */
class Scene {
  readonly time = new TestTime();
  readonly statistics: VolumeStatistics = createStatistics(
    () => new Histogram(LATENCY_BOUNDS_SECONDS),
  );
  readonly pace: Pace;
  readonly run: PaceRun;
  copiedBytes = 0;
  mostUnderWay = 0;
  #underWay = 0;
  #over = false;

  constructor(limitBytesPerSecond = Infinity) {
    const { environment } = this.time;
    this.pace = new Pace(environment, this.statistics, limitBytesPerSecond);
    this.run = this.pace.begin();
    for (let worker = 0; worker < REPLICATOR_LIMITS.rebuildWidth; worker++) void this.#copy();
  }

  async #copy(): Promise<void> {
    for (;;) {
      await this.run.turn();
      if (this.#over) return;
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay);
      await new Promise<void>((resolve) => this.time.environment.after(1, resolve));
      this.#underWay--;
      this.copiedBytes += EXTENT_BYTES;
      this.run.finished(EXTENT_BYTES);
    }
  }

  /** Each millisecond so many operations of the application end; returns the bytes copied. */
  async pass(ms: number, application: () => { operations: number; seconds: number }) {
    const before = this.copiedBytes;
    for (let passed = 0; passed < ms; passed++) {
      const { operations, seconds } = application();
      for (let count = 0; count < operations; count++) {
        this.statistics.write.seconds.observe(seconds);
        this.statistics.write.operations++;
      }
      await this.time.pass(1);
    }
    return this.copiedBytes - before;
  }

  get busy(): boolean {
    return this.#underWay > 0;
  }

  end(): void {
    this.#over = true;
    this.run.end();
  }
}

const NOBODY = () => ({ operations: 0, seconds: 0 });
const UNHURT = () => ({ operations: 5, seconds: 0.0008 });

describe('the pace of a rebuild', () => {
  it('is as fast as it goes while no initiator does anything', async () => {
    const scene = new Scene();
    expect(await scene.pass(1000, NOBODY)).to.be.greaterThan(7000 * MIB);
    expect(scene.mostUnderWay).to.equal(REPLICATOR_LIMITS.rebuildWidth);
    expect(scene.pace.phase).to.equal('free');
  });

  it('keeps to the limit that it was given, and to another one from when that was given', async () => {
    const scene = new Scene(50 * MIB);
    expect(await scene.pass(4000, NOBODY)).to.be.within(190 * MIB, 210 * MIB);
    scene.pace.limitBytesPerSecond = 10 * MIB;
    expect(await scene.pass(4000, NOBODY)).to.be.within(35 * MIB, 50 * MIB);
    scene.pace.limitBytesPerSecond = Infinity;
    expect(await scene.pass(1000, NOBODY)).to.be.greaterThan(1000 * MIB);
  });

  it('holds still when an initiator comes, to see what it gets alone, and copies one extent at a time then', async () => {
    const scene = new Scene();
    await scene.pass(100, NOBODY);
    await scene.pass(5, UNHURT);
    expect(scene.pace.phase).to.equal('resting');
    expect(await scene.pass(200, UNHURT)).to.equal(0);
    scene.mostUnderWay = 0;
    expect(await scene.pass(1000, UNHURT)).to.be.greaterThan(10 * MIB);
    expect(scene.pace.phase).to.equal('sharing');
    expect(scene.mostUnderWay).to.equal(1);
  });

  it('grows faster and faster next to an application that does not suffer', async () => {
    const scene = new Scene();
    await scene.pass(3000, UNHURT);
    const early = await scene.pass(1000, UNHURT);
    await scene.pass(10_000, UNHURT);
    expect(await scene.pass(1000, UNHURT)).to.be.greaterThan(2 * early);
  });

  for (const [what, hurt] of [
    ['whose p99 suffers', { operations: 5, seconds: 0.02 }],
    ['whose throughput suffers', { operations: 2, seconds: 0.0008 }],
  ] as const) {
    it(`slows down next to an application ${what}, and never stands still for good`, async () => {
      const scene = new Scene();
      const application = () => (scene.pace.phase === 'sharing' ? hurt : UNHURT());
      await scene.pass(10_000, application);
      const perSecond = (await scene.pass(10_000, application)) / 10;
      expect(perSecond).to.be.within(2 * MIB, 5 * MIB);
    });
  }

  it('is free again when the application has gone', async () => {
    const scene = new Scene();
    await scene.pass(3000, UNHURT);
    await scene.pass(1000, NOBODY);
    expect(scene.pace.phase).to.equal('free');
    expect(await scene.pass(1000, NOBODY)).to.be.greaterThan(7000 * MIB);
  });

  it('leaves no timer and nobody waiting when it ends', async () => {
    const scene = new Scene(MIB);
    await scene.pass(200, NOBODY);
    scene.end();
    await scene.time.pass(10);
    expect(scene.time.pending).to.equal(0);
    expect(scene.pace.phase).to.equal(null);
  });
});
