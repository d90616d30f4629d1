import type { Cloning, CloneTask } from './cloning.ts';
import { beginClone } from './cloning.ts';
import type { Action, Plan } from './plan.ts';
import { Site } from './site.ts';
import { Volume } from './volume.ts';
import { simulated, Violation, World } from './world.ts';

export interface RunResult {
  readonly plan: Plan;
  /** Null: everything held. */
  readonly failure: Error | null;
  readonly trace: readonly string[];
  readonly fingerprint: number;
  readonly events: number;
  readonly simulatedMs: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly refused: number;
}

/** Of which there are blocks that they share. */
const MOST_VOLUMES = 3;

/** Runs of the same plan are the same, event by event. */
export const runPlan = (plan: Plan, traced = false): Promise<RunResult> => {
  const world = new World(plan.seed, traced);
  const run = new Run(world, plan);
  const uncaught = (thrown: unknown): void => {
    const error = thrown as Error;
    const crash = new Violation('crash', `${error.message}\n${error.stack ?? ''}`);
    world.fail(error instanceof Violation ? error : crash);
  };
  return simulated(uncaught, () => {
    let failure: Error | null = null;
    try {
      run.run();
    } catch (error) {
      failure = world.failure ?? (error as Error);
    }
    return run.result(failure);
  });
};

class Run {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #site: Site;
  /** The first one, and clones; those that are deleted as well. */
  readonly #volumes: Volume[];
  readonly #clonings: Cloning[] = [];

  constructor(world: World, plan: Plan) {
    this.#world = world;
    this.#plan = plan;
    this.#site = new Site(world);
    this.#volumes = [new Volume(this.#site, plan)];
  }

  result(failure: Error | null): RunResult {
    const { fingerprint, events, now, trace } = this.#world;
    const sum = (count: (volume: Volume) => number): number =>
      this.#volumes.reduce((total, volume) => total + count(volume), 0);
    return {
      plan: this.#plan,
      failure,
      trace,
      fingerprint,
      events,
      simulatedMs: now,
      acknowledged: sum(({ cluster }) => cluster.history.acknowledged),
      reads: sum(({ cluster }) => cluster.history.reads),
      refused: sum(({ initiators }) =>
        initiators.reduce((total, { refused }) => total + refused, 0),
      ),
    };
  }

  run(): void {
    const { actions, finalBlackout } = this.#plan;
    this.#volumes[0]!.start();
    const beginMs = this.#world.now;
    for (const action of actions) {
      this.#world.after(beginMs + action.at - this.#world.now, () => this.#act(action));
    }
    const endMs = beginMs + (actions.at(-1)?.at ?? 0);
    this.#site.until(() => this.#world.now >= endMs, endMs);
    this.#world.note('checker', 'faults stop');
    for (const { faults } of this.#volumes) faults.stop();
    // Those that others are made of come before them.
    for (const volume of this.#left) {
      this.#clonings.find((cloning) => cloning.volume === volume)?.expectEnd();
      if (this.#left.includes(volume)) volume.settle();
    }
    for (const volume of this.#left) volume.scrub();
    for (const volume of this.#left) volume.verify();
    if (finalBlackout) this.#blackout();
    for (const volume of this.#left) volume.verifySnapshots();
  }

  get #left(): readonly Volume[] {
    return this.#volumes.filter(({ cluster }) => this.#site.clusters.includes(cluster));
  }

  #act(action: Action): void {
    const left = this.#left;
    const volume = left[(action.volume ?? 0) % Math.max(1, left.length)];
    if (volume === undefined) return;
    if (action.kind !== 'task') volume.act(action);
    else if (action.task.what === 'clone') this.#clone(volume, action.task);
    else if (action.task.what === 'delete-volume') this.#delete(volume);
    else volume.management.perform(action.task);
  }

  #clone(origin: Volume, task: CloneTask): void {
    if (this.#left.length >= MOST_VOLUMES) return;
    const cloning = beginClone(this.#site, this.#plan, origin, task);
    if (cloning === null) return;
    this.#clonings.push(cloning);
    this.#volumes.push(cloning.volume);
  }

  /** The last one stays. */
  #delete({ cluster }: Volume): void {
    if (this.#left.length < 2) return;
    this.#world.note('people', `delete the volume ${cluster.number}`);
    cluster.remove();
  }

  /** What is flushed survives the loss of all machines at once. */
  #blackout(): void {
    this.#world.note('checker', 'all machines lose power');
    const left = this.#left;
    for (const { cluster } of left) cluster.newest?.losePower();
    const lost = this.#site.losePower(left.flatMap(({ cluster }) => cluster.machines));
    for (const machine of lost) machine.startLater(10);
    for (const volume of left) volume.afterBlackout();
  }
}
