import { MERGE_RETRY_MS } from '../../replica/src/limits.ts';
import { Cluster } from './cluster.ts';
import type { ClusterOptions } from './cluster.ts';
import { Faults } from './faults.ts';
import type { Point } from './history.ts';
import { checkPoint } from './history.ts';
import type { Order } from './initiator.ts';
import { Initiator, readSectors } from './initiator.ts';
import type { CloneSource } from './machine.ts';
import { Management } from './management.ts';
import type { Action } from './plan.ts';
import { AREAS, ATOMIC_READ, GROWN_AREA } from './plan.ts';
import { compareReplicas } from './replicas.ts';
import type { RotPlace } from './rot.ts';
import { SIZE_BYTES } from './scene.ts';
import { ScrubCheck } from './scrub-check.ts';
import type { Site } from './site.ts';
import { unmerged } from './space.ts';
import type { SimulatedTarget } from './target.ts';
import type { VolumeError } from '../../target/src/volume.ts';
import { Violation } from './world.ts';
import type { World } from './world.ts';

/**
 * I11: from the end of all faults until I/O is answered, and until all members are in sync. What a
 * slow disk has begun before may last for half of the first.
 */
const RESUME_MS = 30_000;
const REBUILT_MS = 60_000;
const SCRUBBED_MS = 60_000;
/** One merge after the other, and what failed is tried again. */
const MERGED_MS = 6 * MERGE_RETRY_MS;
const BLOCK_SECTORS = 8;
const AREA_SECTORS = 48;

/** One volume of a run: who uses it, what goes wrong with it, and what is checked of it. */
export class Volume {
  readonly cluster: Cluster;
  readonly faults: Faults;
  readonly management: Management;
  readonly initiators: readonly Initiator[];
  readonly #world: World;
  readonly #lateRot: readonly RotPlace[];

  constructor(
    site: Site,
    options: {
      readonly cluster: ClusterOptions;
      readonly initiators: number;
      readonly lateRot: readonly RotPlace[];
    },
    copies: readonly CloneSource[] = [],
  ) {
    this.#world = site.world;
    this.#lateRot = options.lateRot;
    this.cluster = new Cluster(site, options.cluster, copies);
    this.faults = new Faults(this.cluster);
    this.initiators = Array.from(
      { length: options.initiators },
      (_, index) => new Initiator(index, this.cluster),
    );
    this.management = new Management(this.cluster, () => this.#isIdle());
  }

  /** A new volume: empty, and everybody finds it. */
  start(): void {
    const { cluster } = this;
    cluster.start();
    this.expect('I11', () => cluster.newest?.healthy === true, RESUME_MS, 'the first start');
    this.#connect();
  }

  act(action: Exclude<Action, { kind: 'task' }>): void {
    if (action.kind !== 'order') {
      this.faults.apply(action);
      return;
    }
    const initiator = this.initiators[action.initiator % this.initiators.length]!;
    const { target } = initiator;
    if (action.to !== undefined && target !== null) {
      if ((target === this.cluster.newest) !== (action.to === 'newest')) return;
    }
    initiator.submit(action.order);
  }

  /** Faults have stopped: I11. */
  settle(): void {
    const world = this.#world;
    const cluster = this.cluster;
    if (cluster.targets.at(-1)?.alive !== true) cluster.startTarget();
    const deadline = world.now + RESUME_MS;
    const probe = { operation: 'read', sector: AREAS[0]!, count: 1 } as const;
    let resumed = false;
    const ask = (): void => {
      if (resumed || world.now > deadline) return;
      this.initiators[0]!.submit(probe, (outcome) => {
        if (outcome === 'GOOD' || outcome === 'MEDIUM_ERROR') resumed = true;
      });
      world.after(200, ask);
    };
    ask();
    this.expect('I11', () => resumed, RESUME_MS, 'I/O');
    this.#rewriteRotten();
    this.expect('I11', () => this.#isWhole(), REBUILT_MS, 'all replicas in sync');
    this.#idle();
  }

  /** A block without a good copy stays bad until somebody writes it. */
  #rewriteRotten(): void {
    if (this.cluster.rot.blocks.size === 0) return;
    for (const area of AREAS) {
      for (let at = 0; at < AREA_SECTORS; at += BLOCK_SECTORS) {
        const block = (area + at) / BLOCK_SECTORS;
        if (!this.cluster.rot.blocks.has(block)) continue;
        this.#ask({ operation: 'write', sector: area + at, count: BLOCK_SECTORS });
      }
    }
  }

  /** Every sector is read, and the replicas in sync hold the same. */
  verify(): void {
    for (const area of this.#areas()) {
      this.#ask({ operation: 'read', sector: area, count: AREA_SECTORS });
    }
    this.#ask(ATOMIC_READ);
    this.#ask({ operation: 'flush', sector: 0, count: 0 });
    // Late repairs end as well, and so does an orderly stop that took its time.
    this.#until(() => false, 300);
    const cluster = this.cluster;
    const settled = (): boolean =>
      this.#isWhole() && cluster.machines.every(({ serving }) => serving);
    this.expect('I11', settled, REBUILT_MS, 'all replicas in sync');
    compareReplicas(this.#world, cluster, cluster.newest!);
    this.management.checkNames();
    this.expect(
      'I11',
      () => unmerged(cluster) === null,
      MERGED_MS,
      `merging ${unmerged(cluster) ?? ''}`,
    );
  }

  #areas(): readonly number[] {
    return this.cluster.sizeBytes > SIZE_BYTES ? [...AREAS, GROWN_AREA] : AREAS;
  }

  /**
   * At rest, when a good copy of everything is there: scrubs end, say what they have mended, mend
   * all that has rotted, and everything can be read again.
   */
  scrub(): void {
    const { rot, options } = this.cluster;
    if (options.scrubBytesPerSecond === null) return;
    // What reads have found before is repaired by then, and counted.
    this.#until(() => false, 300);
    for (const place of this.#lateRot) rot.plant(place);
    const check = new ScrubCheck(this.cluster);
    // A connection may have been cut, and nobody has noticed: that copy is not scrubbed.
    for (let members = ''; members !== this.#members;) {
      members = this.#members;
      this.#scrubOnce(check);
    }
    const { found, repaired } = check;
    this.#scrubOnce(check);
    if (repaired + check.found > found) {
      const counts = `found ${found} bad blocks, repaired ${repaired}, and ${check.found} are left`;
      throw new Violation('I9', `a scrub ${counts}`);
    }
    // A page that is to be written anyway is so when its mark goes; a layer that nobody needs goes.
    this.#until(() => check.left === null, MERGE_RETRY_MS + SCRUBBED_MS);
    // What others have merged differently is mended when they have the same again.
    if (check.left !== null) this.#scrubOnce(check);
    if (check.left !== null) throw new Violation('I9', `${check.left} is bad after a scrub`);
    this.#scrubOnce(check);
    if (check.found > 0) throw new Violation('I9', `scrubs go on to find ${check.found} blocks`);
    rot.blocks.clear();
  }

  /** Which record is in force. */
  get #members(): string {
    const record = this.cluster.newest?.replicator.assembly.record;
    return `${record?.epoch ?? 0} ${record?.configSeq ?? 0}`;
  }

  #scrubOnce(check: ScrubCheck): void {
    check.begin();
    this.expect('I11', () => check.ended, SCRUBBED_MS, 'the end of a scrub');
    check.checkDivergence();
  }

  /** Each snapshot in turn is the volume again, and read. Nothing else is checked after that. */
  verifySnapshots(): void {
    for (const snapshot of this.management.kept) {
      let done = false;
      const ask = (): void =>
        this.management.revertTo(snapshot, (reverted) => {
          done = reverted;
          if (!done) this.#world.after(50, ask);
        });
      ask();
      this.expect('I11', () => done, RESUME_MS, `the volume is ${snapshot.name}`);
      this.expect('I11', () => this.#isWhole(), REBUILT_MS, 'all replicas in sync');
      const { newest } = this.cluster;
      const scrubs = this.cluster.options.scrubBytesPerSecond !== null;
      if (scrubs) this.#scrubOnce(new ScrubCheck(this.cluster));
      compareReplicas(this.#world, this.cluster, newest!);
      this.management.checkContent(snapshot, this.#contents());
    }
  }

  /** A target that was away may come back just now and take over. */
  #contents(): ReadonlyMap<number, number> {
    let contents: ReadonlyMap<number, number> | null = null;
    const ask = (): void => {
      const { serving } = this.cluster;
      if (serving === null) this.#world.after(50, ask);
      else
        this.#read(serving, (all) =>
          all === null ? this.#world.after(50, ask) : (contents = all),
        );
    };
    ask();
    this.expect('I11', () => contents !== null, RESUME_MS, 'a read of a snapshot');
    return contents!;
  }

  /** All that initiators write, past them; null: one of the reads has failed. */
  #read(
    target: SimulatedTarget,
    done: (contents: ReadonlyMap<number, number> | null) => void,
  ): void {
    const contents = new Map<number, number>();
    const areas = [
      ...this.#areas().map((sector) => ({ sector, count: AREA_SECTORS })),
      ATOMIC_READ,
    ];
    let left = areas.length;
    for (const { sector, count } of areas) {
      readSectors(target, sector, count, (found) => {
        if (Array.isArray(found)) {
          found.forEach((stamp: number, index) => contents.set(sector + index, stamp));
          if (--left === 0) done(contents);
          return;
        }
        const { code, message } = found as VolumeError;
        if (code === 'MEDIUM_ERROR' && this.cluster.rot.blocks.size === 0)
          throw new Violation('I9', `nothing has rotted, and ${sector} met ${message}`);
        left = -1;
        done(null);
      });
    }
  }

  /** What a clone begins with is what the snapshot held, before anybody writes. */
  beginWith(name: string, point: Point): void {
    const { newest, history } = this.cluster;
    if (newest?.ready !== true || !this.cluster.frozen) return;
    this.#read(newest, (contents) => {
      if (contents === null || !this.cluster.frozen) return;
      checkPoint(name, point, contents);
      history.begin(contents);
      this.#world.note('checker', `${name} holds what it should`);
      this.cluster.frozen = false;
    });
  }

  /** All machines have lost their power, and are back. */
  afterBlackout(): void {
    this.expect('I11', () => this.#isWhole(), REBUILT_MS, 'after a blackout');
    this.#connect();
    this.verify();
  }

  /** An operation that must succeed. */
  #ask(order: Order): void {
    let done = false;
    const initiator = this.initiators[0]!;
    const ask = (): void => {
      const taken = initiator.submit(order, (outcome) => {
        done = outcome === 'GOOD' || outcome === 'MEDIUM_ERROR';
        if (!done) this.#world.after(50, ask);
      });
      if (!taken) this.#world.after(50, ask);
    };
    ask();
    this.expect('I11', () => done, RESUME_MS, `the end of ${order.operation} ${order.sector}`);
  }

  #connect(): void {
    const reach = (): void => {
      for (const initiator of this.initiators) {
        if (initiator.target === null) initiator.submit({ operation: 'read', sector: 0, count: 1 });
      }
    };
    reach();
    this.#until(() => this.initiators.every(({ target }) => target !== null), 1_000);
  }

  #idle(): void {
    this.expect('I11', () => this.#isIdle(), RESUME_MS, 'an answer to every operation');
  }

  #isWhole(): boolean {
    const { newest, orchestrator } = this.cluster;
    return newest?.healthy === true && orchestrator.converged && !this.management.busy;
  }

  #isIdle(): boolean {
    return this.initiators.every(({ inFlight }) => inFlight === 0);
  }

  expect(invariant: string, condition: () => boolean, withinMs: number, what: string): void {
    if (this.#until(condition, withinMs)) return;
    const { newest, machines } = this.cluster;
    const assembly = newest?.replicator.assembly;
    const states = assembly?.members.map(
      ({ address, state, lastError }) => `${address} ${state.kind} ${lastError ?? ''}`,
    );
    const down = machines.filter(({ serving }) => !serving).map(({ host }) => host);
    throw new Violation(
      invariant,
      `${what}: not within ${withinMs} ms; ${newest?.name ?? 'no target'} ${assembly?.phase ?? ''} ` +
        `waits for ${assembly?.waitingFor ?? ''}; ${states?.join('; ') ?? ''}; down: ${down.join()}`,
    );
  }

  #until(condition: () => boolean, withinMs: number): boolean {
    return this.cluster.site.until(condition, withinMs);
  }
}
