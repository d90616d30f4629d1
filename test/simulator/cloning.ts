import type { Point } from './history.ts';
import type { CloneSource, ReplicaMachine } from './machine.ts';
import type { Snapshot } from './management.ts';
import type { Fault, Plan } from './plan.ts';
import type { Site } from './site.ts';
import type { SimulatedTarget } from './target.ts';
import { Volume } from './volume.ts';

/**
 * What people do with a volume as a whole; `copies`: of how many, 0: of all; `changes`: the machine
 * of the first one loses its power before its directory has changed as often.
 */
export type VolumeTask =
  | { readonly what: 'delete-volume' }
  | {
      readonly what: 'clone';
      readonly snapshot: number;
      readonly copies: number;
      readonly changes?: number;
    };
export type CloneTask = VolumeTask & { readonly what: 'clone' };

const dying = (changes: number): Fault => ({
  kind: 'die-writing',
  replica: 0,
  changes,
  power: true,
  ms: 20,
});

const LOOK_MS = 40;
const MADE_MS = 60_000;

/** Null: the target does not know it; what it knows may be old. */
const layerAt = ({ replicator }: SimulatedTarget, { name }: Snapshot): number | null =>
  replicator.assembly.layers.tree?.layers.find((layer) => layer.name === name)?.id ?? null;

/** Null where there is no such snapshot, or nobody to make a copy of. */
export const beginClone = (
  site: Site,
  plan: Plan,
  origin: Volume,
  task: CloneTask,
): Cloning | null => {
  const { cluster, management } = origin;
  const snapshot = management.keptOne(task.snapshot);
  const { newest } = cluster;
  if (snapshot === null || newest?.ready !== true || cluster.frozen) return null;
  const layer = layerAt(newest, snapshot);
  if (layer === null) return null;
  const { dataMachines } = cluster;
  const count = task.copies === 0 ? dataMachines.length : task.copies % dataMachines.length;
  const chosen = dataMachines.slice(0, Math.max(1, count));
  // Whoever takes fewer copies may take just the bad ones.
  const isSound = dataMachines.every(({ disk }) => disk.rot.length === 0);
  if (chosen.length < dataMachines.length && !isSound) return null;
  const sources = chosen.map((machine) => ({ machine, layer }));
  const cloning = new Cloning(site, plan, { origin, snapshot, sources });
  if (task.changes !== undefined) cloning.volume.faults.apply(dying(task.changes));
  return cloning;
};

/**
 * A clone from its recording on: each copy is made where its origin is, again and again until it is
 * there, then the volume starts; what it holds is compared before anybody writes.
 */
export class Cloning {
  readonly volume: Volume;
  readonly #site: Site;
  readonly #origin: Volume;
  readonly #snapshot: Snapshot;
  readonly #point: Point;
  readonly #sources: readonly CloneSource[];
  #started = false;

  constructor(
    site: Site,
    plan: Plan,
    options: {
      readonly origin: Volume;
      readonly snapshot: Snapshot & { readonly point: Point };
      readonly sources: readonly CloneSource[];
    },
  ) {
    const { origin, snapshot, sources } = options;
    this.#site = site;
    this.#origin = origin;
    this.#snapshot = snapshot;
    this.#point = snapshot.point;
    this.#sources = sources;
    const dataReplicas = sources.length;
    const { sizeBytes } = origin.cluster;
    const witness = dataReplicas % 2 === 0;
    this.volume = new Volume(
      site,
      { ...plan, cluster: { ...plan.cluster, dataReplicas, witness, sizeBytes } },
      sources,
    );
    const { cluster } = this.volume;
    cluster.frozen = true;
    for (const block of origin.cluster.rot.blocks) cluster.rot.blocks.add(block);
    site.world.note('people', `clone ${snapshot.name} as volume ${cluster.number}`);
    for (const machine of cluster.dataMachines) machine.held = true;
    this.#look();
  }

  get #left(): boolean {
    return this.#site.clusters.includes(this.volume.cluster);
  }

  /** It is used, or is not there any more. */
  get #ended(): boolean {
    return !this.#left || !this.volume.cluster.frozen;
  }

  /**
   * A new volume whose copies all lost their memory before its first record was in force may wait
   * for ever. Nobody has written to it; it is made anew.
   */
  expectEnd(): void {
    const { cluster } = this.volume;
    if (this.#started && cluster.dataMachines.every(({ whole }) => !whole)) {
      if (!this.#site.until(() => this.#ended, MADE_MS)) cluster.remove();
      return;
    }
    this.volume.expect('I11', () => this.#ended, MADE_MS, `the clone of ${this.#snapshot.name}`);
  }

  #look(): void {
    if (this.#ended) return;
    const { cluster } = this.volume;
    if (this.#started) {
      this.volume.beginWith(`the clone of ${this.#snapshot.name}`, this.#point);
    } else if (cluster.dataMachines.every(({ cloneFrom }) => cloneFrom === null)) {
      this.#started = true;
      cluster.start();
    } else if (this.#isLost()) {
      cluster.remove();
    } else {
      this.#release();
    }
    this.#site.world.after(LOOK_MS, () => this.#look());
  }

  /**
   * Who was in sync when the snapshot was there holds it as it was decided. Of anybody else nobody
   * knows: what that one has may come from an attempt that the others have undone.
   */
  #release(): void {
    const { newest, dataMachines } = this.#origin.cluster;
    if (newest?.ready !== true) return;
    const inSync = newest.replicator.assembly.record?.inSync ?? [];
    this.#sources.forEach(({ machine }, index) => {
      if (!inSync.includes(machine.id) || !dataMachines.includes(machine)) return;
      const copy = this.volume.cluster.dataMachines[index]!;
      if (!copy.held) return;
      copy.held = false;
      copy.start();
    });
  }

  /** A copy is missing, and there is nothing left to make it of. */
  #isLost(): boolean {
    if (!this.#site.clusters.includes(this.#origin.cluster)) return true;
    if (this.#snapshot.state === 'kept') return this.#sources.some(({ machine }) => machine.gone);
    const has = ({ store }: ReplicaMachine, layer: number): boolean =>
      store === null || store.state().layers.some(({ id }) => id === layer);
    return this.#sources.some(({ machine, layer }) => machine.gone || !has(machine, layer));
  }
}
