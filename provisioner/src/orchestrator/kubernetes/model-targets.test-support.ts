import type { KubeApi } from '../../kubernetes/kube-api.ts';
import type { TargetStatus } from '../local/target-status.ts';
import type { ChapSettings } from '../orchestrator.ts';
import { DEPLOYMENTS, SERVICES } from './desired-objects.ts';
import { controllerServiceName, replicaAddress, replicaName } from './names.ts';
import { notReady, type TargetSnapshot } from '../local/volume-snapshots.ts';
import type { TargetOf, Targets } from './targets.ts';
import { VOLUME_RESOURCES, type VolumeMember } from './volume-resource.ts';

const NAMESPACE = 'openebs';
const SESSION = { initiator: 'iqn.2026-01.test:one', address: null };

interface Model {
  readonly volume: string;
  /** Addresses, as in the last order. */
  listed: readonly string[];
  /** By address, who votes and is in sync. */
  readonly voters: Map<string, string>;
  sizeBytes: number;
  rebuildBytesPerSecond: number | null;
  chap: ChapSettings | null;
}

/**
 * What targets say and do when members are changed, as docs/membership.md tells it: a new one votes
 * when it holds everything, and only when all that are wanted vote do the others go, one each time.
 */
export class ModelTargets implements Targets {
  readonly #api: KubeApi;
  readonly #models = new Map<string, Model>();
  /** Nodes that do not answer. */
  readonly lost = new Set<string>();
  readonly orders: string[] = [];
  /** Initiators that are logged in, to each. */
  sessions = 0;
  answers = true;

  constructor(api: KubeApi) {
    this.#api = api;
  }

  voters(volume: string): readonly string[] {
    const model = [...this.#models.values()].find((each) => each.volume === volume);
    return [...(model?.voters.values() ?? [])].sort();
  }

  /** Whether a target may still need this replica. */
  needs(volume: string, index: number): boolean {
    const model = [...this.#models.values()].find((each) => each.volume === volume);
    const address = replicaAddress(volume, NAMESPACE, index);
    return model !== undefined && (model.voters.has(address) || model.listed.includes(address));
  }

  async status(address: string): Promise<TargetStatus | null> {
    const model = this.#models.get(address) ?? (await this.#start(address));
    if (model === null || !this.answers) return null;
    const members = await this.#members(model);
    await this.#advance(model, members);
    const isUp = (at: string): boolean => {
      const member = members.get(at);
      return member !== undefined && !this.lost.has(member.node);
    };
    const replicas = model.listed.map((at) => ({
      id: isUp(at) ? (members.get(at)?.id ?? null) : (model.voters.get(at) ?? null),
      address: at,
      mode: model.voters.has(at) && isUp(at) ? ('in-sync' as const) : ('offline' as const),
      since: null,
      lastError: null,
      resync: null,
    }));
    const healthy = replicas.every(({ mode }) => mode === 'in-sync');
    return {
      state: healthy ? 'healthy' : 'degraded',
      access: 'read-write',
      since: null,
      next: null,
      reason: healthy ? null : 'a replica is away',
      replicas,
      voters: [...model.voters.values()],
      sizeBytes: model.sizeBytes,
      sessions: Array.from({ length: this.sessions }, () => SESSION),
      integrity: null,
      settings: { chap: model.chap, rebuildBytesPerSecond: model.rebuildBytesPerSecond },
    };
  }

  order(address: string, path: string, body: unknown): Promise<string | null> {
    const model = this.#models.get(address);
    if (model === undefined) return Promise.reject(new Error('nothing listens there'));
    this.orders.push(`${path} ${JSON.stringify(body)}`);
    const { replicas, sizeBytes, rebuildBytesPerSecond, chap } = body as {
      replicas?: string[];
      sizeBytes?: number;
      rebuildBytesPerSecond?: number | null;
      chap?: ChapSettings | null;
    };
    if (replicas !== undefined) model.listed = replicas;
    if (sizeBytes !== undefined) model.sizeBytes = sizeBytes;
    if (rebuildBytesPerSecond !== undefined) model.rebuildBytesPerSecond = rebuildBytesPerSecond;
    if (chap !== undefined) model.chap = chap;
    return Promise.resolve(null);
  }

  /** By volume, the names, the oldest first; layers are numbered in their order. */
  readonly taken = new Map<string, string[]>();

  snapshots({ volume, address }: TargetOf): Promise<readonly TargetSnapshot[]> {
    if (address === null) return Promise.reject(notReady(volume));
    const names = this.taken.get(volume) ?? [];
    const createdAt = '2026-01-01T00:00:00.000Z';
    return Promise.resolve(names.map((name, at) => ({ layer: at + 1, name, createdAt })));
  }

  takeSnapshot({ volume, address }: TargetOf, name: string): Promise<void> {
    if (address === null) return Promise.reject(notReady(volume));
    const names = this.taken.get(volume) ?? [];
    if (!names.includes(name)) this.taken.set(volume, [...names, name]);
    return Promise.resolve();
  }

  dropSnapshot({ volume, address }: TargetOf, name: string): Promise<void> {
    if (address === null) return Promise.reject(notReady(volume));
    const names = this.taken.get(volume) ?? [];
    this.taken.set(
      volume,
      names.filter((each) => each !== name),
    );
    return Promise.resolve();
  }

  async #start(address: string): Promise<Model | null> {
    const { items } = await this.#api.list(SERVICES, { namespace: NAMESPACE });
    const { items: records } = await this.#api.list(VOLUME_RESOURCES, { namespace: NAMESPACE });
    for (const { metadata, spec } of records) {
      const service = items.find(
        (each) => each.metadata.name === controllerServiceName(metadata.name),
      );
      if (service?.spec?.clusterIP !== address) continue;
      const voters = new Map(
        spec.members.map(({ id, index }) => [replicaAddress(metadata.name, NAMESPACE, index), id]),
      );
      const listed = [...voters.keys()];
      const sizes = { sizeBytes: 1024 ** 3, rebuildBytesPerSecond: null, chap: null };
      const model: Model = { volume: metadata.name, listed, voters, ...sizes };
      this.#models.set(address, model);
      return model;
    }
    return null;
  }

  /** By address, those whose Deployment is there. */
  async #members({ volume }: Model): Promise<Map<string, VolumeMember>> {
    const where = { namespace: NAMESPACE, name: volume };
    const { spec } = await this.#api.get(VOLUME_RESOURCES, where);
    const { items } = await this.#api.list(DEPLOYMENTS, { namespace: NAMESPACE });
    const names = new Set(items.map(({ metadata }) => metadata.name));
    return new Map(
      spec.members
        .filter(({ index }) => names.has(replicaName(volume, index)))
        .map((member) => [replicaAddress(volume, NAMESPACE, member.index), member]),
    );
  }

  async #advance(model: Model, members: Map<string, VolumeMember>): Promise<void> {
    await Promise.resolve();
    const coming = model.listed.find(
      (at) => !model.voters.has(at) && !this.lost.has(members.get(at)?.node ?? ''),
    );
    if (coming !== undefined) {
      const member = members.get(coming);
      if (member !== undefined) model.voters.set(coming, member.id);
      return;
    }
    const going = [...model.voters.keys()].find((at) => !model.listed.includes(at));
    if (going !== undefined) model.voters.delete(going);
  }
}
