import { setTimeout as delay } from 'node:timers/promises';
import type { KubeApi } from '../../provisioner/src/kubernetes/kube-api.ts';
import { DEPLOYMENTS } from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import { replicaName } from '../../provisioner/src/orchestrator/kubernetes/names.ts';
import { nameOfVolume } from '../cluster/claim-load.ts';
import { eventually, Installation, NAMESPACE } from '../cluster/installation.ts';
import { startPlane, stopPlane } from '../cluster/plane.ts';
import { cpuSeconds, residentBytes } from '../support/process-usage.ts';
import { ClaimTimes } from './claim-times.ts';

/** Changes of Deployments that are sent, over all volumes in turn. */
const EVENTS = 500;
const EVENTS_AT_ONCE = 4;
/** Claims at once while volumes are made, and claims of which each costs so much. */
const BATCH = 50;
const IDLE_MS = 5_000;
const QUIET_MS = 3_000;
/** Of one processor, when nothing is under way. */
const QUIET_SHARE = 0.03;
const WHOLE_MS = 900_000;

/** What the provisioner needs with so many volumes. */
export interface ScalePoint {
  readonly volumes: number;
  readonly residentBytes: number;
  /** While nothing happens. Milliseconds of processor time for each second. */
  readonly idleMs: number;
  /** From the watch's event to the volume found as it should be. Milliseconds of processor time. */
  readonly eventMs: number;
  /** One more claim, with everything of its volume. Milliseconds of processor time. */
  readonly claimMs: number;
}

/** As many volumes as each of `sizes`, which rise, on a real control plane without pods. */
export const measureScale = async (
  sizes: readonly number[],
  told: (point: ScalePoint) => void,
): Promise<ScalePoint[]> => {
  await startPlane({ withoutPods: true });
  const cluster = new Installation();
  const times = new ClaimTimes();
  try {
    await cluster.prepare();
    await cluster.start();
    await times.ready();
    const scale = new Scale(cluster, times);
    // What is done for the first time is slow.
    await scale.grow(1);
    await scale.change(EVENTS);
    const points: ScalePoint[] = [];
    for (const size of sizes) {
      const point = await scale.measure(size);
      told(point);
      points.push(point);
    }
    return points;
  } finally {
    await times.stop();
    await cluster.stop();
    await stopPlane();
  }
};

class Scale {
  readonly #cluster: Installation;
  readonly #times: ClaimTimes;
  readonly #api: KubeApi;
  readonly #volumes: string[] = [];
  #changes = 0;

  constructor(cluster: Installation, times: ClaimTimes) {
    this.#cluster = cluster;
    this.#times = times;
    this.#api = cluster.api;
  }

  async measure(volumes: number): Promise<ScalePoint> {
    // The last ones of them are those that are measured.
    const before = Math.max(this.#volumes.length, volumes - BATCH);
    await this.grow(before);
    await this.#quiet();
    const claims = await this.#cost(() => this.grow(volumes));
    await delay(IDLE_MS);
    const idle = await this.#cost(() => delay(IDLE_MS));
    const events = await this.#cost(() => this.change(EVENTS));
    const made = volumes - before;
    return {
      volumes,
      residentBytes: residentBytes(this.#pid),
      idleMs: idle / (IDLE_MS / 1000),
      eventMs: events / EVENTS,
      claimMs: claims / made,
    };
  }

  /** Makes volumes until there are so many, each with all its objects. */
  async grow(volumes: number): Promise<void> {
    while (this.#volumes.length < volumes) {
      const first = this.#volumes.length;
      const count = Math.min(BATCH, volumes - first);
      const claims = await Promise.all(
        Array.from({ length: count }, (_, index) => this.#cluster.claim(`scale-${first + index}`)),
      );
      const moments = claims.map((claim) => this.#times.of(nameOfVolume(claim)));
      const isWhole = (): Promise<boolean> =>
        Promise.resolve(
          moments.every(({ wholeMs, boundMs }) => wholeMs !== undefined && boundMs !== undefined),
        );
      await eventually(`${first + count} volumes`, isWhole, WHOLE_MS);
      this.#volumes.push(...claims.map(nameOfVolume));
    }
  }

  /** Events that change nothing of what a volume shall be: each is looked at and found right. */
  async change(events: number): Promise<void> {
    const end = this.#changes + events;
    const send = async (): Promise<void> => {
      while (this.#changes < end) {
        const change = this.#changes++;
        const volume = this.#volumes[change % this.#volumes.length] ?? '';
        const path = '/metadata/annotations/openebs.io~1bench';
        const where = { namespace: NAMESPACE, name: replicaName(volume, 1) };
        const operations = [{ op: 'add', path, value: String(change) }] as const;
        await this.#api.patch(DEPLOYMENTS, where, operations);
      }
    };
    await Promise.all(Array.from({ length: EVENTS_AT_ONCE }, send));
  }

  /** Until it is quiet again, without what it needs at rest. Milliseconds of processor time. */
  async #cost(work: () => Promise<void>): Promise<number> {
    const before = cpuSeconds(this.#pid);
    await work();
    await this.#quiet();
    return (cpuSeconds(this.#pid) - before) * 1000;
  }

  async #quiet(): Promise<void> {
    for (;;) {
      const before = cpuSeconds(this.#pid);
      await delay(QUIET_MS);
      if (cpuSeconds(this.#pid) - before < (QUIET_SHARE * QUIET_MS) / 1000) return;
    }
  }

  get #pid(): number {
    return this.#cluster.pid ?? 0;
  }
}
