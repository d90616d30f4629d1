import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import type { SessionOptions } from '../initiator/connect.ts';
import type { Daemon, Flags, ReadyLine, SpawnOptions } from './daemons.ts';
import { startReplica, startTarget } from './daemons.ts';
import { ONE_CALL } from './metrics.ts';

/**
 * A volume of real processes on this host: one target and its replicas, each of which can be killed
 * and started again.
 */

const POLL_MS = 25;

/**
 * Where the blocks are kept: replica processes on unix sockets or TCP, stores inside the target's
 * process, or nowhere (`null`, for benchmarks).
 */
export type ReplicaKind = 'unix' | 'tcp' | 'in-process' | 'null';

export interface ReplicatedVolumeOptions {
  /** An empty directory, short enough for socket paths. */
  readonly directory: string;
  readonly sizeBytes: number;
  /** Copies of the data. */
  readonly replicas: number;
  /** Processes that only vote; their indices come after those of the replicas. */
  readonly witnesses?: number;
  readonly kind: ReplicaKind;
  readonly targetFlags?: Flags;
  readonly targetSpawn?: SpawnOptions;
  readonly nodeFlags?: readonly string[];
  /** Asked at each start of a replica: what is particular to this one. */
  readonly replicaSettings?: (index: number) => ReplicaSettings;
}

export interface ReplicaSettings {
  readonly spawn?: SpawnOptions;
  readonly flags?: Flags;
  /** Instead of one below the volume's directory. */
  readonly directory?: string;
}

export interface ReplicaStatus {
  readonly id: string;
  readonly address: string;
  readonly mode: 'in-sync' | 'syncing' | 'offline';
  readonly lastError: string | null;
}

export interface VolumeStatus {
  readonly state: 'healthy' | 'degraded' | 'unavailable' | 'starting';
  readonly epoch: number;
  readonly replicas: readonly ReplicaStatus[];
  readonly sessions: readonly unknown[];
}

/** A daemon that has said that it is ready. */
export interface Running {
  readonly daemon: Daemon;
  readonly ready: ReadyLine;
}

const alive = (running: Running | null): running is Running =>
  running !== null &&
  running.daemon.child.exitCode === null &&
  running.daemon.child.signalCode === null;

export class ReplicatedVolume {
  readonly iqn = 'iqn.2016-09.com.openebs:test';
  readonly replicas: (Running | null)[];
  readonly #options: ReplicatedVolumeOptions;
  readonly volumeId = randomUUID();
  /** Those that have not said that they are ready, and may never. */
  readonly #starting = new Set<Daemon>();
  #target: Running | null = null;

  constructor(options: ReplicatedVolumeOptions) {
    this.#options = options;
    const { kind, replicas, witnesses = 0 } = options;
    const processes = kind === 'unix' || kind === 'tcp' ? replicas + witnesses : 0;
    this.replicas = Array.from({ length: processes }, () => null);
  }

  static async start(options: ReplicatedVolumeOptions): Promise<ReplicatedVolume> {
    const volume = new ReplicatedVolume(options);
    await volume.start();
    return volume;
  }

  get target(): Running {
    if (this.#target === null) throw new Error('the target was not started');
    return this.#target;
  }

  /** The process ids of every daemon that runs: the target's first. */
  pids(): number[] {
    return [this.#target, ...this.replicas].filter(alive).map(({ daemon }) => daemon.child.pid!);
  }

  /** The image files of the replicas, whose first sizeBytes bytes are the volume. */
  imagePaths(): string[] {
    return Array.from({ length: this.#options.replicas }, (_, index) => this.imagePath(index));
  }

  imagePath(index: number): string {
    return `${this.#replicaDirectory(index)}/000001.img`;
  }

  /** Where to log in. */
  get portal(): Pick<SessionOptions, 'host' | 'port' | 'targetName'> {
    const [host = '', port = ''] = (this.target.ready.portal ?? '').split(':');
    return { host, port: Number(port), targetName: this.iqn };
  }

  /** Starts what does not run. */
  async start(): Promise<void> {
    const starting: Promise<void>[] = [];
    for (let index = 0; index < this.replicas.length; index++) {
      starting.push(this.startReplica(index));
    }
    await Promise.all(starting);
    await this.startTarget();
  }

  async startReplica(index: number): Promise<void> {
    if (alive(this.replicas[index] ?? null)) return;
    const settings = this.#options.replicaSettings?.(index) ?? {};
    const directory = this.#replicaDirectory(index);
    mkdirSync(directory, { recursive: true });
    const flags: Flags = {
      dir: directory,
      'volume-id': this.volumeId,
      size: String(this.#options.sizeBytes),
      listen: this.#listenAddress(index),
      ...(index < this.#options.replicas ? {} : { role: 'witness' }),
      ...settings.flags,
    };
    const daemon = startReplica(flags, { ...this.#spawnOptions(), ...settings.spawn });
    this.replicas[index] = await this.#untilReady(daemon);
  }

  async startTarget(): Promise<void> {
    if (alive(this.#target)) return;
    const flags: Flags = {
      volume: 'test',
      'volume-id': this.volumeId,
      size: String(this.#options.sizeBytes),
      iqn: this.iqn,
      ...(this.#options.kind === 'null' ? { null: true } : { replica: this.#replicaAddresses() }),
      ...this.#options.targetFlags,
    };
    const daemon = startTarget(flags, { ...this.#spawnOptions(), ...this.#options.targetSpawn });
    this.#target = await this.#untilReady(daemon);
  }

  /** Ends everything in order: the target first, so that nothing is in flight. */
  async stop(): Promise<void> {
    await Promise.all([...this.#starting].map((daemon) => daemon.kill9()));
    await this.#target?.daemon.stop();
    await Promise.all(this.replicas.map(async (replica) => await replica?.daemon.stop()));
  }

  /** GET on the target's control API. */
  async status(): Promise<VolumeStatus> {
    const url = `http://${this.target.ready.control}/v1/status`;
    const response = await fetch(url, { headers: ONE_CALL });
    return (await response.json()) as VolumeStatus;
  }

  /** Waits until every replica is in sync; the error says what it saw instead. */
  async untilHealthy(withinMs = 30_000): Promise<VolumeStatus> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const status = await this.status();
      if (status.state === 'healthy') return status;
      if (performance.now() > deadline) {
        throw new Error(`not healthy within ${withinMs} ms: ${JSON.stringify(status, null, 1)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #untilReady(daemon: Daemon): Promise<Running> {
    this.#starting.add(daemon);
    const ready = await daemon.ready;
    this.#starting.delete(daemon);
    return { daemon, ready };
  }

  #spawnOptions(): { nodeFlags: readonly string[] } {
    return { nodeFlags: this.#options.nodeFlags ?? [] };
  }

  #replicaDirectory(index: number): string {
    const own = this.#options.replicaSettings?.(index).directory;
    return own ?? `${this.#options.directory}/replica-${index}`;
  }

  /**
   * TCP: a free port at the first start, the same one after that, as the target is given fixed
   * addresses.
   */
  #listenAddress(index: number): string {
    if (this.#options.kind === 'unix')
      return `unix:${this.#options.directory}/replica-${index}.sock`;
    return this.replicas[index]?.ready.listen ?? '127.0.0.1:0';
  }

  #replicaAddresses(): string[] {
    if (this.#options.kind !== 'in-process') {
      return this.replicas.map((replica) => replica?.ready.listen ?? '');
    }
    const count = this.#options.replicas;
    return Array.from({ length: count }, (_, index) => `dir:${this.#replicaDirectory(index)}`);
  }
}
