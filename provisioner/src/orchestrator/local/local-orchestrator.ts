import { mkdirSync, rmSync } from 'node:fs';
import { readdir, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { MIN_FREE_BYTES } from '../../limits.ts';
import { Problem, fileProblem } from '../../problem.ts';
import { formatSize } from '../../size.ts';
import { counted } from '../../wrap.ts';
import type {
  CloneSpec,
  DaemonMetrics,
  DamagedVolume,
  NodeView,
  Orchestrator,
  PoolView,
  RevertView,
  ScrubView,
  SnapshotView,
  VolumeChange,
  VolumeEvent,
  VolumeSpec,
  VolumeStats,
  VolumeView,
} from '../orchestrator.ts';
import { syncDirectory } from './atomic-file.ts';
import { cloneCopies, planClone } from './clone.ts';
import { daemonEnvironment } from './daemons.ts';
import { writeFirstChap } from './first-chap.ts';
import { isSetting } from './target-settings.ts';
import { findFreePort } from './ports.ts';
import { RECORD_FILE, RecordError, newRecord, readRecord, type VolumeRecord } from './record.ts';
import { changedRecord, changeEvent, findReplica, requireCopies } from './record-changes.ts';
import { openRuntimeDirectory } from './runtime-directory.ts';
import { makeVolume, removeIfUnfinished, type VolumeDirectory } from './volume-directory.ts';
import { VolumeRunner } from './volume-runner.ts';
import {
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  revertVolume,
  type SnapshotPlaces,
} from './volume-snapshots.ts';

export interface LocalOptions {
  /** Exists, is locked by us. */
  readonly dataDirectory: string;
  readonly cacheDirectory: string;
  readonly markDirectory: string;
  readonly portalHost: string;
  /** First portal port to try; 0: any free one. */
  readonly firstPortalPort: number;
}

/** How many volumes start at the same time; each is several processes. */
const STARTS_AT_ONCE = 4;

/** Volumes as child processes on this host. */
export class LocalOrchestrator implements Orchestrator {
  readonly kind = 'local';
  readonly #options: LocalOptions;
  readonly #volumesDirectory: string;
  readonly #runtimeDirectory: string;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #runners = new Map<string, VolumeRunner>();
  readonly #damaged = new Map<string, DamagedVolume>();
  readonly #deletions = new Map<string, Promise<void>>();
  readonly #listeners = new Set<(event: VolumeEvent) => void>();
  /** Creations one after the other: names and ports are taken in order. */
  #creation: Promise<unknown> = Promise.resolve();
  #changes: Promise<unknown> = Promise.resolve();
  #stopping = false;

  constructor(options: LocalOptions) {
    this.#options = options;
    this.#volumesDirectory = join(options.dataDirectory, 'volumes');
    this.#runtimeDirectory = openRuntimeDirectory(options.dataDirectory);
    this.#env = daemonEnvironment(options.cacheDirectory);
    mkdirSync(this.#volumesDirectory, { recursive: true });
  }

  /** Reads the records and starts what they say; finishes deletions that were interrupted. */
  async start(): Promise<void> {
    for (const entry of await readdir(this.#volumesDirectory, { withFileTypes: true })) {
      if (entry.isDirectory()) await this.#load(entry.name);
    }
    const waiting = [...this.#runners.values()];
    const worker = async (): Promise<void> => {
      for (let runner = waiting.shift(); runner !== undefined; runner = waiting.shift()) {
        await runner.start(() => this.#takenPorts());
      }
    };
    await Promise.all(Array.from({ length: STARTS_AT_ONCE }, worker));
  }

  createVolume(spec: VolumeSpec, origin: { idempotencyKey: string | null }): Promise<VolumeView> {
    const created = this.#creation.then(() => this.#create(spec, origin.idempotencyKey));
    this.#creation = created.catch(() => undefined);
    return created;
  }

  cloneVolume(spec: CloneSpec, origin: { idempotencyKey: string | null }): Promise<VolumeView> {
    const created = this.#creation.then(() => this.#clone(spec, origin.idempotencyKey));
    this.#creation = created.catch(() => undefined);
    return created;
  }

  async volume(name: string, options = { fresh: false }): Promise<VolumeView | null> {
    const damaged = this.#damaged.get(name);
    if (damaged !== undefined) {
      throw new Problem('record-damaged', `${damaged.file}: ${damaged.reason}`, {
        next: damaged.next,
      });
    }
    const runner = this.#runners.get(name);
    if (runner === undefined) return null;
    return options.fresh ? runner.observe() : runner.view();
  }

  volumes(): readonly VolumeView[] {
    return [...this.#runners.values()]
      .map((runner) => runner.view())
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  damaged(): readonly DamagedVolume[] {
    return [...this.#damaged.values()];
  }

  async volumeStats(name: string): Promise<VolumeStats> {
    return (await (await this.#require(name)).stats()) ?? raiseNotReady(name);
  }

  volumeByIdempotencyKey(key: string): VolumeView | null {
    for (const runner of this.#runners.values()) {
      if (runner.record.idempotencyKey === key) return runner.view();
    }
    return null;
  }

  async deleteVolume(name: string): Promise<{ readonly gone: Promise<void> }> {
    const running = this.#deletions.get(name);
    if (running !== undefined) return { gone: running };
    const runner = this.#runners.get(name);
    if (runner === undefined) {
      throw new Problem('volume-not-found', `there is no volume ${name}`, {
        next: 'mayactl volume list',
      });
    }
    try {
      await runner.markDeleting();
    } catch (error) {
      throw fileProblem(error, this.#options.dataDirectory) ?? error;
    }
    return { gone: this.#deletions.get(name) ?? this.#finishDeletion(runner) };
  }

  async changeVolume(name: string, change: VolumeChange): Promise<VolumeView> {
    const runner = await this.#require(name);
    // One after the other: each begins with what the one before has recorded.
    const changed = this.#changes.then(() => this.#change(runner, change));
    this.#changes = changed.catch(() => undefined);
    try {
      await changed;
    } catch (error) {
      throw fileProblem(error, this.#options.dataDirectory) ?? error;
    }
    return runner.observe();
  }

  async killReplica(name: string, replica: string): Promise<VolumeView> {
    const runner = await this.#require(name);
    runner.killReplica(findReplica(runner.record, replica).id);
    return runner.observe();
  }

  async #change(runner: VolumeRunner, change: VolumeChange): Promise<void> {
    if (isSetting(change)) return runner.set(change);
    const { record } = runner;
    const next = changedRecord(record, change);
    if (next === record) return;
    if (change.kind === 'remove-replica') requireCopies(await runner.observe(), change.replica);
    await runner.change(next);
    const [kind, message] = changeEvent(record, next);
    this.#emit(record.name, { kind, severity: 'info', message });
  }

  async scrubVolume(name: string): Promise<ScrubView> {
    return (await (await this.#require(name)).scrub()) ?? raiseNotReady(name);
  }

  async snapshots(volume: string): Promise<readonly SnapshotView[]> {
    return listSnapshots(await this.#snapshotPlaces(volume));
  }

  async createSnapshot(volume: string, name: string): Promise<SnapshotView> {
    const snapshot = await createSnapshot(await this.#snapshotPlaces(volume), name);
    this.#tellSnapshot(volume, `snapshot ${name} made`);
    return snapshot;
  }

  async deleteSnapshot(volume: string, name: string): Promise<void> {
    await deleteSnapshot(await this.#snapshotPlaces(volume), name);
    this.#tellSnapshot(volume, `snapshot ${name} deleted`);
  }

  async revertVolume(
    volume: string,
    snapshot: string,
    { force }: { force: boolean },
  ): Promise<RevertView> {
    const reverted = await revertVolume(await this.#snapshotPlaces(volume), snapshot, force);
    const message = `reverted to snapshot ${snapshot}, what it was is ${reverted.keptAs}`;
    this.#tellSnapshot(volume, message);
    return reverted;
  }

  nodes(): Promise<readonly NodeView[]> {
    return Promise.resolve([{ name: hostname(), status: 'ready' }]);
  }

  async pools(): Promise<readonly PoolView[]> {
    const { bsize, blocks, bavail } = await statfs(this.#volumesDirectory);
    return [
      {
        name: 'default',
        node: hostname(),
        path: this.#volumesDirectory,
        capacityBytes: bsize * blocks,
        freeBytes: bsize * bavail,
      },
    ];
  }

  async scrape(): Promise<readonly DaemonMetrics[]> {
    const all = await Promise.all([...this.#runners.values()].map((runner) => runner.scrape()));
    return all.flat();
  }

  onEvent(listener: (event: VolumeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#creation;
    await Promise.all([...this.#runners.values()].map((runner) => runner.stop()));
    await Promise.allSettled(this.#deletions.values());
    rmSync(this.#runtimeDirectory, { recursive: true, force: true });
  }

  /** Ends all daemons at once; the next start compares what was written last. */
  kill(): void {
    for (const runner of this.#runners.values()) runner.kill();
  }

  async #create(spec: VolumeSpec, idempotencyKey: string | null): Promise<VolumeView> {
    await this.#requireFree(spec.name);
    const portalPort = await this.#choosePort();
    const record = newRecord(spec, { portalPort, idempotencyKey, createdAt: new Date() });
    const what = `${formatSize(record.sizeBytes)}, ${counted(spec.replicas, 'replica')}`;
    return this.#begin(record, `created, ${what}`, (directory) =>
      writeFirstChap(directory, spec.chap ?? null),
    );
  }

  async #clone(spec: CloneSpec, idempotencyKey: string | null): Promise<VolumeView> {
    const { name } = spec;
    await this.#requireFree(name);
    const origin = await this.#require(spec.source.volume);
    await origin.observe();
    const { source, layer, sizeBytes, copies } = await planClone(spec, origin.cloneOrigin());
    if (spec.source.snapshot === null) {
      this.#tellSnapshot(source.volume, `snapshot ${source.snapshot} made for the clone ${name}`);
    }
    const portalPort = await this.#choosePort();
    const record = newRecord(
      { name, sizeBytes, replicas: copies.length, chap: spec.chap },
      { portalPort, idempotencyKey, createdAt: new Date(), source },
    );
    const from = `${source.volume}@${source.snapshot}`;
    const what = `${formatSize(sizeBytes)}, ${counted(copies.length, 'replica')}`;
    return this.#begin(record, `created as clone of ${from}, ${what}`, async (directory) => {
      await writeFirstChap(directory, spec.chap);
      const { markDirectory } = this.#options;
      await cloneCopies({ record, layer, copies, directory, env: this.#env, markDirectory });
    });
  }

  /** A volume that begins with what `fill` makes, all of it or nothing. */
  async #begin(
    record: VolumeRecord,
    message: string,
    fill: (directory: string) => Promise<void>,
  ): Promise<VolumeView> {
    const { name } = record;
    try {
      const where = this.#directories(name);
      await makeVolume(where, record, () => fill(where.directory));
    } catch (error) {
      throw fileProblem(error, this.#options.dataDirectory) ?? error;
    }
    const runner = this.#addRunner(record);
    this.#emit(name, { kind: 'created', severity: 'info', message });
    runner
      .start(() => this.#takenPorts())
      .catch((error: unknown) => this.#startFailed(name, error));
    return runner.view();
  }

  /** Throws Problem where there is something of this name, or no room for it. */
  async #requireFree(name: string): Promise<void> {
    if (this.#stopping) throw new Problem('stopping', 'the system is stopping');
    const existing = await this.volume(name);
    if (existing !== null) {
      throw existing.status === 'deleting'
        ? new Problem('volume-deleting', `volume ${name} is being deleted`, {
            next: 'try again when it is gone (mayactl volume list)',
          })
        : new Problem('volume-exists', `there is a volume ${name} already`, {
            next: `choose another name, or see it with: mayactl volume info ${name}`,
          });
    }
    await this.#requireSpace();
  }

  #choosePort(): Promise<number> {
    const { portalHost, firstPortalPort } = this.#options;
    return findFreePort(portalHost, firstPortalPort, this.#takenPorts());
  }

  #startFailed(name: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#emit(name, { kind: 'status', severity: 'warning', message: `cannot be started: ${why}` });
  }

  /** Throws Problem volume-not-found, record-damaged. */
  async #require(name: string): Promise<VolumeRunner> {
    await this.volume(name);
    const runner = this.#runners.get(name);
    if (runner !== undefined) return runner;
    throw new Problem('volume-not-found', `there is no volume ${name}`, {
      next: 'mayactl volume list',
    });
  }

  async #requireSpace(): Promise<void> {
    const { bsize, bavail } = await statfs(this.#volumesDirectory);
    if (bsize * bavail >= MIN_FREE_BYTES) return;
    throw new Problem(
      'no-space',
      `${formatSize(bsize * bavail)} are free on the file system of ${this.#options.dataDirectory}`,
      { next: `free some, at least ${formatSize(MIN_FREE_BYTES)} (df -h shows the usage)` },
    );
  }

  async #snapshotPlaces(volume: string): Promise<SnapshotPlaces> {
    return (await this.#require(volume)).snapshotPlaces();
  }

  #tellSnapshot(volume: string, message: string): void {
    this.#emit(volume, { kind: 'snapshot', severity: 'info', message });
  }

  #takenPorts(): ReadonlySet<number> {
    const runners = [...this.#runners.values()];
    return new Set(runners.flatMap(({ record, portalPort }) => [record.portalPort, portalPort]));
  }

  #directories(name: string): VolumeDirectory {
    return {
      directory: join(this.#volumesDirectory, name),
      logDirectory: join(this.#options.dataDirectory, 'logs', name),
    };
  }

  #addRunner(record: VolumeRecord): VolumeRunner {
    const { markDirectory, portalHost } = this.#options;
    const runner = new VolumeRunner(
      record,
      {
        ...this.#directories(record.name),
        runtimeDirectory: this.#runtimeDirectory,
        markDirectory,
        portalHost,
        node: hostname(),
        env: this.#env,
      },
      (event) => this.#emit(record.name, event),
    );
    this.#runners.set(record.name, runner);
    return runner;
  }

  #finishDeletion(runner: VolumeRunner): Promise<void> {
    const { name } = runner.record;
    const gone = (async (): Promise<void> => {
      await runner.stop();
      await runner.remove();
      await syncDirectory(this.#volumesDirectory);
      this.#runners.delete(name);
      this.#emit(name, { kind: 'deleted', severity: 'info', message: 'deleted with its data' });
    })().finally(() => this.#deletions.delete(name));
    gone.catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      this.#emit(name, {
        kind: 'status',
        severity: 'warning',
        message: `cannot be deleted: ${why}`,
      });
    });
    this.#deletions.set(name, gone);
    return gone;
  }

  async #load(name: string): Promise<void> {
    const where = this.#directories(name);
    if (await removeIfUnfinished(where)) return;
    const file = join(where.directory, RECORD_FILE);
    try {
      this.#addRunner(await readRecord(where.directory, name));
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      const reason = isMissing ? 'it is missing' : describe(error);
      this.#damaged.set(name, {
        name,
        file,
        reason,
        next: `put a good copy of ${file} back and start again; the data beside it is untouched`,
      });
    }
  }

  #emit(volume: string, event: Omit<VolumeEvent, 'volume' | 'status'>): void {
    const status = this.#runners.get(volume)?.view().status ?? null;
    for (const listener of this.#listeners) listener({ ...event, volume, status });
  }
}

function raiseNotReady(name: string): never {
  throw new Problem('volume-not-ready', `the target of volume ${name} does not answer now`, {
    next: `see why: mayactl volume info ${name}`,
  });
}

function describe(error: unknown): string {
  if (error instanceof RecordError) return error.message;
  return error instanceof Error ? error.message : String(error);
}
