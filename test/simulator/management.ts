import { LayerError } from '../../target/src/replicator/index.ts';
import type { Cluster } from './cluster.ts';
import type { History, Point } from './history.ts';
import { checkPoint } from './history.ts';
import type { ReplicaMachine } from './machine.ts';
import type { SimulatedTarget } from './target.ts';
import { Violation } from './world.ts';

/**
 * What people ask of a volume besides reading and writing. Numbers are counted modulo, those below
 * zero from the end.
 */
export type Task =
  | { readonly what: 'snapshot' | 'add' | 'grow' | 'scrub' }
  | { readonly what: 'delete' | 'revert'; readonly snapshot: number }
  | { readonly what: 'remove' | 'replace' | 'empty'; readonly replica: number };

export interface Snapshot {
  readonly name: string;
  /** Null: whether it was made is not known, so neither is what it holds. */
  point: Point | null;
  state: 'perhaps' | 'kept' | 'gone';
}

const AT = '2026-11-24T11:00:00.000Z';
const GROWTH_BYTES = 1024 * 1024 + 32 * 1024;
const MOST_COPIES = 5;
const IDLE_EVERY_MS = 5;
const IDLE_TRIES = 60;

/** Carries tasks out, and knows what each snapshot has to hold. */
export class Management {
  readonly #cluster: Cluster;
  readonly #idle: () => boolean;
  readonly #snapshots: Snapshot[] = [];
  #names = 0;
  #busy = false;

  /** `idle`: no initiator has anything under way. */
  constructor(cluster: Cluster, idle: () => boolean) {
    this.#cluster = cluster;
    this.#idle = idle;
  }

  get busy(): boolean {
    return this.#busy;
  }

  get kept(): readonly Snapshot[] {
    return this.#snapshots.filter(({ state }) => state === 'kept');
  }

  perform(task: Task): void {
    const { newest, orchestrator, world } = this.#cluster;
    if (newest?.ready !== true) return;
    // A clone of which nobody has read yet what it begins with.
    if (this.#cluster.frozen && !this.#busy) return;
    if (this.#busy && task.what !== 'scrub') return;
    world.note('people', () => Object.values(task).join(' '));
    switch (task.what) {
      case 'scrub':
        newest.process.run(() => newest.scrub?.request());
        return;
      case 'snapshot':
        this.#snapshot(newest);
        return;
      case 'delete':
        this.#delete(newest, task.snapshot);
        return;
      case 'revert':
        this.#revertWhenIdle(task.snapshot, IDLE_TRIES);
        return;
      case 'grow':
        orchestrator.grow(GROWTH_BYTES);
        return;
      case 'add':
        if (orchestrator.wantedCopies < MOST_COPIES) orchestrator.add();
        return;
      case 'remove':
      case 'replace':
      case 'empty':
        this.#member(task.what, task.replica);
    }
  }

  /**
   * Only from a whole volume, and not where the others have rotted: what more is lost at the same
   * time is not promised to survive.
   */
  #member(what: 'remove' | 'replace' | 'empty', index: number): void {
    const { orchestrator, newest } = this.#cluster;
    const copies = orchestrator.wanted.filter(({ role }) => role === 'data');
    const machine = copies[index % copies.length];
    if (machine === undefined || copies.length < 2) return;
    if (newest?.healthy !== true || !orchestrator.converged) return;
    const isSound = ({ serving, whole, role, disk }: ReplicaMachine): boolean =>
      // One may be about to die in the middle of a change of its disk.
      serving && (whole || role === 'witness') && disk.beforeChange === null;
    if (!this.#cluster.machines.every(isSound)) return;
    // The target is to hear of it, or it waits for its last copy as for one that is only slow.
    if (newest.sockets.get(machine)?.sound !== true) return;
    if (copies.some(({ disk }) => disk !== machine.disk && disk.rot.length > 0)) return;
    if (what === 'remove') orchestrator.remove(machine);
    else {
      if (what === 'replace') orchestrator.replace(machine);
      else machine.empty();
      this.#cluster.lost = machine;
    }
  }

  #snapshot(target: SimulatedTarget): void {
    const { history } = this.#cluster;
    const snapshot: Snapshot = { name: `s${++this.#names}`, point: null, state: 'perhaps' };
    this.#snapshots.push(snapshot);
    const start = history.moment();
    this.#run(target, (layers) => layers.snapshot(snapshot.name, AT), {
      done: () => {
        snapshot.point = history.capture(start);
        snapshot.state = 'kept';
      },
    });
  }

  #delete(target: SimulatedTarget, index: number): void {
    const snapshot = this.#pick(index);
    if (snapshot === null) return;
    const { state } = snapshot;
    snapshot.state = 'perhaps';
    this.#run(target, (layers) => layers.delete(snapshot.name), {
      done: () => (snapshot.state = 'gone'),
      refused: ({ code }) => {
        if (code !== 'NOT_FOUND' || this.#isReplaced(target)) return;
        if (state === 'kept') throw new Violation('I7', `snapshot ${snapshot.name} is not there`);
        snapshot.state = 'gone';
      },
    });
  }

  #revertWhenIdle(index: number, tries: number): void {
    const { newest, world } = this.#cluster;
    const snapshot = this.#pick(index);
    if (snapshot?.point == null || snapshot.state !== 'kept') return;
    if (newest?.ready === true && this.#idle()) this.#revert(newest, snapshot, snapshot.point);
    else if (tries > 0) {
      world.after(IDLE_EVERY_MS, () => {
        if (!this.#busy) this.#revertWhenIdle(index, tries - 1);
      });
    }
  }

  #revert(target: SimulatedTarget, { name }: Snapshot, point: Point): void {
    const { history } = this.#cluster;
    const before: Snapshot = { name: `k${++this.#names}`, point: null, state: 'perhaps' };
    this.#snapshots.push(before);
    const start = history.moment();
    this.#cluster.frozen = true;
    this.#run(target, (layers) => layers.revert(name, before.name, AT), {
      done: () => {
        // Not what it was when this was asked for: machines may have lost their memory since.
        before.point = history.capture(start);
        before.state = 'kept';
        history.revert(point);
      },
      refused: ({ code }) => {
        if (code === 'NOT_FOUND' && !this.#isReplaced(target)) {
          throw new Violation('I7', `snapshot ${name} is not there`);
        }
        history.perhapsRevert(point);
      },
      lost: () => history.perhapsRevert(point),
    });
  }

  /** What it knows of the snapshots may be old, and it can change none of them. */
  #isReplaced({ replicator }: SimulatedTarget): boolean {
    const promises = this.#cluster.machines.map(({ promisedEpoch }) => promisedEpoch);
    return replicator.assembly.epoch < Math.max(...promises);
  }

  /** One that is there, and what it holds; null: there is none. */
  keptOne(index: number): (Snapshot & { readonly point: Point }) | null {
    const snapshot = this.#pick(index);
    return snapshot?.state === 'kept' && snapshot.point !== null
      ? (snapshot as Snapshot & { readonly point: Point })
      : null;
  }

  #pick(index: number): Snapshot | null {
    const there = this.#snapshots.filter(({ state }) => state !== 'gone');
    return there.at(index % Math.max(1, there.length)) ?? null;
  }

  #run(
    target: SimulatedTarget,
    work: (layers: SimulatedTarget['replicator']['assembly']['layers']) => Promise<unknown>,
    outcome: {
      readonly done: () => void;
      readonly refused?: (error: LayerError) => void;
      /** The target ended before it had answered. */
      readonly lost?: () => void;
    },
  ): void {
    let over = false;
    const end = (): boolean => {
      if (over) return false;
      over = true;
      this.#busy = false;
      this.#cluster.frozen = false;
      return true;
    };
    this.#busy = true;
    target.onExit(() => {
      if (end()) outcome.lost?.();
    });
    target.process.run(() => {
      work(target.replicator.assembly.layers).then(
        () => {
          if (target.alive && end()) outcome.done();
        },
        (error: unknown) => {
          if (!target.alive || !end()) return;
          if (!(error instanceof LayerError)) throw error;
          this.#cluster.world.note('people', () => `${error.code}: ${error.message}`);
          outcome.refused?.(error);
        },
      );
    });
  }

  /** At rest: the tree is what the answers said. */
  checkNames(): void {
    const layers = this.#cluster.newest?.replicator.assembly.layers.tree?.layers ?? [];
    const names = new Set(layers.map(({ name }) => name));
    for (const { name, state } of this.#snapshots) {
      if (state === 'perhaps' || names.has(name) === (state === 'kept')) continue;
      throw new Violation(
        'I7',
        `snapshot ${name} is ${state === 'kept' ? 'not there' : 'still there'}`,
      );
    }
    for (const name of names) {
      if (name === null || this.#snapshots.some((each) => each.name === name)) continue;
      throw new Violation('I7', `nobody made a snapshot ${name}`);
    }
    for (const { host, store, role } of this.#cluster.machines) {
      if (role === 'witness' || store === null) continue;
      const held = new Set(store.state().layers.flatMap(({ name }) => name ?? []));
      const named = [...names].filter((name) => name !== null);
      if (held.size === named.length && named.every((name) => held.has(name))) continue;
      throw new Violation('I7', `${host} has snapshots ${[...held].join()}, not ${named.join()}`);
    }
  }

  checkContent({ name, point }: Snapshot, contents: ReadonlyMap<number, number>): void {
    if (point !== null) checkPoint(`snapshot ${name}`, point, contents);
  }

  /** The end of a run: the volume is what this one is. True when it is. */
  revertTo(snapshot: Snapshot, ended: (done: boolean) => void): void {
    const { newest } = this.#cluster;
    if (newest?.ready !== true || this.#busy) {
      ended(false);
      return;
    }
    this.#run(newest, (layers) => layers.revert(snapshot.name, `k${++this.#names}`, AT), {
      done: () => ended(true),
      refused: () => ended(false),
      lost: () => ended(false),
    });
  }

  get history(): History {
    return this.#cluster.history;
  }
}
