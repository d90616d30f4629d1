import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { metricOf, ONE_CALL } from './metrics.ts';
import {
  ReplicatedVolume,
  type ReplicaKind,
  type ReplicatedVolumeOptions,
} from './replicated-volume.ts';

const TOKEN = 'orders-of-the-test-suite';
const POLL_MS = 100;

export interface RebuiltVolumeOptions extends Pick<ReplicatedVolumeOptions, 'targetFlags'> {
  readonly directory: string;
  readonly sizeBytes: number;
  /** Copies of the data; an even number gets a witness besides. */
  readonly replicas: number;
  readonly kind?: ReplicaKind;
}

/** A volume whose replicas go away, or lose everything, and come back. */
export class RebuiltVolume {
  readonly volume: ReplicatedVolume;
  readonly #directory: string;

  constructor({ directory, sizeBytes, replicas, targetFlags, kind }: RebuiltVolumeOptions) {
    mkdirSync(directory, { recursive: true });
    const tokenFile = `${directory}/token`;
    writeFileSync(tokenFile, TOKEN);
    this.#directory = directory;
    this.volume = new ReplicatedVolume({
      directory,
      sizeBytes,
      replicas,
      witnesses: replicas % 2 === 0 ? 1 : 0,
      kind: kind ?? 'unix',
      targetFlags: { 'control-token-file': tokenFile, ...targetFlags },
    });
  }

  async start(): Promise<void> {
    await this.volume.start();
    await this.volume.untilHealthy(60_000);
  }

  async stop(): Promise<void> {
    await this.volume.stop();
  }

  /** An order to the target's control API. */
  async order(path: string, body: unknown): Promise<Response> {
    return await fetch(`http://${this.volume.target.ready.control}${path}`, {
      method: 'PUT',
      headers: {
        ...ONE_CALL,
        authorization: `Bearer ${TOKEN}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
  }

  async stopReplica(index: number): Promise<void> {
    await this.volume.replicas[index]?.daemon.stop();
  }

  /** Its directory is empty, and it is started and declared to be a member. */
  async startEmpty(index: number): Promise<void> {
    rmSync(`${this.#directory}/replica-${index}`, { recursive: true, force: true });
    await this.volume.startReplica(index);
    const replicas = this.volume.replicas.map((replica) => replica?.ready.listen);
    const answer = await this.order('/v1/replicas', { replicas });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** Of all resynchronisations since the target was started. Bytes. */
  copiedBytes(): Promise<number> {
    return metricOf(this.volume.target.ready.control, 'openebs_rebuild_copied_bytes_total');
  }

  /** Of the replica's process, since it was started. */
  counter(index: number, name: string): Promise<number> {
    const replica = this.volume.replicas[index];
    if (replica === null || replica === undefined) throw new Error(`replica ${index} does not run`);
    return metricOf(replica.ready.control, `openebs_replica_${name}`);
  }

  /** Unlike untilHealthy it asks seldom enough not to be a load of its own. */
  async untilRebuilt(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while ((await this.volume.status()).state !== 'healthy') {
      if (performance.now() > deadline) throw new Error(`not in sync within ${withinMs} ms`);
      await sleep(POLL_MS);
    }
  }
}
