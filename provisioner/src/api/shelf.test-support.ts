import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import type {
  CloneSpec,
  DaemonMetrics,
  IntegrityView,
  Orchestrator,
  RevertView,
  ScrubView,
  SnapshotView,
  VolumeChange,
  VolumeSpec,
  VolumeStats,
  VolumeView,
} from '../orchestrator/orchestrator.ts';
import { newRecord } from '../orchestrator/local/record.ts';
import { viewOf } from '../orchestrator/local/volume-view.ts';
import { Problem } from '../problem.ts';
import { buildApp } from './app.ts';
import { EventLog } from './event-log.ts';
import { Operations } from './operations.ts';

const process_ = { status: 'running', failures: 0, lastFailure: null } as const;

const SCRUB: ScrubView = {
  state: 'idle',
  percent: 0,
  bytesPerSecond: 0,
  etaSeconds: null,
  startedAt: null,
  badBlocks: 0,
  divergentBlocks: 0,
  lastCompletedAt: null,
  nextAt: '2026-01-08T00:00:00.000Z',
};
const INTEGRITY: IntegrityView = {
  checksumErrors: 2,
  repairedBlocks: 0,
  divergentBlocks: 0,
  lostBlocks: 0,
  lastProblem: null,
  scrub: SCRUB,
};

const snapshotOf = (volume: string, name: string): SnapshotView => ({
  name,
  volume,
  createdAt: '2026-01-02T00:00:00.000Z',
  sizeBytes: null,
  freedBytes: null,
});

const STATS: VolumeStats = {
  volume: '',
  at: '2026-01-02T00:00:00.000Z',
  uptimeSeconds: 100,
  reads: 10,
  readBytes: 40_960,
  readSeconds: 0.5,
  writes: 20,
  writeBytes: 81_920,
  writeSeconds: 1.5,
  unmaps: 1,
  flushes: 2,
  errors: 0,
  size: 0,
  logicalBytes: 81_920,
  usedBytes: 102_400,
};

/** Volumes without processes: every one serves at once. The real orchestrator is in test/local. */
export class Shelf implements Orchestrator {
  readonly kind = 'local';
  readonly views = new Map<string, VolumeView>();
  readonly keys = new Map<string, string>();

  createVolume(spec: VolumeSpec, origin: { idempotencyKey: string | null }): Promise<VolumeView> {
    if (this.views.has(spec.name)) {
      return Promise.reject(new Problem('volume-exists', `there is a volume ${spec.name} already`));
    }
    const record = newRecord(spec, { portalPort: 1, idempotencyKey: null, createdAt: new Date(0) });
    const view = viewOf({
      record,
      isDeleting: false,
      node: 'host',
      portal: '127.0.0.1:1',
      logDirectory: '/logs',
      sinceOf: () => '2026-01-01T00:00:00.000Z',
      target: process_,
      refusal: null,
      targetStatus: {
        state: 'healthy',
        access: 'read-write',
        since: null,
        reason: null,
        next: null,
        replicas: record.members.map(({ id }) => ({
          id,
          address: null,
          mode: 'in-sync',
          since: null,
          lastError: null,
          resync: null,
        })),
        voters: null,
        sizeBytes: null,
        sessions: [],
        integrity: null,
        settings: null,
      },
      members: record.members.map((member) => ({
        member,
        facts: process_,
        directory: '/d',
        address: 'a',
      })),
    });
    this.views.set(spec.name, view);
    if (origin.idempotencyKey !== null) this.keys.set(origin.idempotencyKey, spec.name);
    return Promise.resolve(view);
  }
  readonly clones: CloneSpec[] = [];
  async cloneVolume(
    spec: CloneSpec,
    origin: { idempotencyKey: string | null },
  ): Promise<VolumeView> {
    this.clones.push(spec);
    const { name, source, sizeBytes, replicas } = spec;
    const size = { sizeBytes: sizeBytes ?? 1024 ** 3, replicas: replicas ?? 3 };
    const view = await this.createVolume({ name, ...size }, origin);
    const snapshot = source.snapshot ?? `clone-${name}`;
    const clone = { ...view, source: { volume: source.volume, volumeId: view.id, snapshot } };
    this.views.set(name, clone);
    return clone;
  }
  volume(name: string): Promise<VolumeView | null> {
    if (name === 'rotten') {
      return Promise.reject(new Problem('record-damaged', 'not JSON', { next: 'put it back' }));
    }
    return Promise.resolve(this.views.get(name) ?? null);
  }
  volumes(): readonly VolumeView[] {
    return [...this.views.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  damaged(): readonly [] {
    return [];
  }
  volumeStats(name: string): Promise<VolumeStats> {
    const view = this.views.get(name);
    if (view === undefined) {
      return Promise.reject(new Problem('volume-not-found', `there is no volume ${name}`));
    }
    return Promise.resolve({ ...STATS, volume: name, size: view.size });
  }
  volumeByIdempotencyKey(key: string): VolumeView | null {
    return this.views.get(this.keys.get(key) ?? '') ?? null;
  }
  deleteVolume(name: string): Promise<{ gone: Promise<void> }> {
    this.views.delete(name);
    return Promise.resolve({ gone: Promise.resolve() });
  }
  readonly changes: VolumeChange[] = [];
  changeVolume(name: string, change: VolumeChange): Promise<VolumeView> {
    const view = this.views.get(name);
    if (view === undefined) {
      return Promise.reject(new Problem('volume-not-found', `there is no volume ${name}`));
    }
    this.changes.push(change);
    const next = { ...view, generation: view.generation + 1 };
    const changed = change.kind === 'resize' ? { ...next, size: change.sizeBytes } : next;
    this.views.set(name, changed);
    return Promise.resolve(changed);
  }
  killReplica(name: string, replica: string): Promise<VolumeView> {
    const view = this.views.get(name);
    if (view?.replicas.some(({ index }) => String(index) === replica) === true) {
      return Promise.resolve(view);
    }
    return Promise.reject(new Problem('replica-not-found', `there is no replica ${replica}`));
  }
  scrubVolume(name: string): Promise<ScrubView> {
    const view = this.views.get(name);
    if (view === undefined) {
      return Promise.reject(new Problem('volume-not-found', `there is no volume ${name}`));
    }
    const scrub = { ...SCRUB, lastCompletedAt: '2026-01-02T00:00:00.000Z', badBlocks: 2 };
    this.views.set(name, { ...view, integrity: { ...INTEGRITY, repairedBlocks: 2, scrub } });
    return Promise.resolve(SCRUB);
  }
  readonly snapshotNames: string[] = [];
  snapshots(volume: string): Promise<readonly SnapshotView[]> {
    return Promise.resolve(this.snapshotNames.map((name) => snapshotOf(volume, name)));
  }
  createSnapshot(volume: string, name: string): Promise<SnapshotView> {
    this.snapshotNames.push(name);
    return Promise.resolve({ ...snapshotOf(volume, name), heldMs: 12 });
  }
  deleteSnapshot(_volume: string, name: string): Promise<void> {
    const at = this.snapshotNames.indexOf(name);
    if (at < 0) return Promise.reject(new Problem('snapshot-not-found', `there is no ${name}`));
    this.snapshotNames.splice(at, 1);
    return Promise.resolve();
  }
  revertVolume(
    volume: string,
    snapshot: string,
    { force }: { force: boolean },
  ): Promise<RevertView> {
    if (!force) return Promise.reject(new Problem('volume-in-use', '1 session(s) are open'));
    return Promise.resolve({ volume, snapshot, keptAs: 'before' });
  }
  nodes(): Promise<readonly []> {
    return Promise.resolve([]);
  }
  pools(): Promise<readonly []> {
    return Promise.resolve([]);
  }
  scrape(): Promise<readonly DaemonMetrics[]> {
    return Promise.resolve([
      { labels: { volume: 'db' }, names: {}, text: 'openebs_volume_size_bytes 7\n' },
    ]);
  }
  onEvent(): () => void {
    return () => undefined;
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/** The API server over a shelf, with a token for each role: `adm` and `ro`. */
export const appOver = (shelf: Shelf, { isReady = true } = {}): Promise<FastifyInstance> => {
  const events = new EventLog(shelf);
  return buildApp(
    {
      orchestrator: shelf,
      operations: new Operations({ failed: (operation) => events.operationFailed(operation) }),
      events,
      tokens: { admin: 'adm', readOnly: 'ro' },
      dataDirectory: '/data',
      startedAt: new Date(0),
      isReady: () => isReady,
    },
    pino({ level: 'silent' }),
  );
};
