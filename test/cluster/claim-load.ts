import { expect } from 'chai';
import { CLAIMS, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import type { Resource } from '../../provisioner/src/kubernetes/objects.ts';
import {
  DEPLOYMENTS,
  DISRUPTION_BUDGETS,
  SERVICES,
} from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import { VOLUME_RESOURCES } from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { CONFIG_MAPS } from '../../provisioner/src/orchestrator/kubernetes/volume-settings.ts';
import { eventually, NAMESPACE, type Installation } from './installation.ts';

/** Namespaced kinds that a volume consists of, with how many a volume of three copies has. */
const PARTS: readonly (readonly [Resource, number])[] = [
  [VOLUME_RESOURCES, 1],
  [SERVICES, 2],
  [CONFIG_MAPS, 1],
  [DEPLOYMENTS, 4],
  [DISRUPTION_BUDGETS, 1],
];

export const nameOfVolume = ({ metadata }: Claim): string => `pvc-${metadata.uid ?? ''}`;

/** Many claims at once, and what has become of them, each looked at with few calls. */
export class ClaimLoad {
  readonly claims: Claim[] = [];
  readonly #cluster: Installation;
  readonly #prefix: string;

  constructor(cluster: Installation, prefix: string) {
    this.#cluster = cluster;
    this.#prefix = prefix;
  }

  async create(count: number): Promise<void> {
    const first = this.claims.length;
    const made = Array.from({ length: count }, (_, index) =>
      this.#cluster.claim(`${this.#prefix}-${first + index}`),
    );
    this.claims.push(...(await Promise.all(made)));
  }

  async bound(withinMs = 90_000): Promise<void> {
    const wanted = new Set(this.claims.map(({ metadata }) => metadata.uid));
    await eventually(
      `${wanted.size} bound claims`,
      async () => {
        const { items } = await this.#cluster.api.list(CLAIMS, { namespace: 'default' });
        const bound = items.filter(
          ({ metadata, status }) => wanted.has(metadata.uid) && status?.phase === 'Bound',
        );
        return bound.length === wanted.size;
      },
      withinMs,
    );
  }

  /** Every claim has its volume, and the volume everything that belongs to it, each once. */
  async isWhole(withinMs = 90_000): Promise<void> {
    const volumes = this.claims.map(nameOfVolume);
    const isThere = async (): Promise<boolean> => {
      const names = await this.#namesOf(volumes);
      return PARTS.every(
        ([kind, count]) => names.get(kind.kind)?.length === count * volumes.length,
      );
    };
    await eventually('all objects of all volumes', isThere, withinMs);
    const { items } = await this.#cluster.api.list(VOLUMES);
    for (const { metadata } of this.claims) {
      const own = items.filter(({ spec }) => spec?.claimRef?.uid === metadata.uid);
      expect(own.map((volume) => volume.metadata.name)).to.deep.equal([
        `pvc-${metadata.uid ?? ''}`,
      ]);
    }
  }

  /** Deletes the claims, and resolves when nothing of their volumes is left. */
  async free(withinMs = 90_000): Promise<void> {
    const { api } = this.#cluster;
    await Promise.all(this.claims.map(({ metadata }) => api.remove(CLAIMS, metadata)));
    const volumes = this.claims.map(nameOfVolume);
    await eventually(
      `the end of ${volumes.length} volumes`,
      async () => {
        await this.#cluster.endAllCleaning();
        const { items } = await api.list(VOLUMES);
        const left = items.filter(({ metadata }) => volumes.includes(metadata.name));
        return left.length === 0;
      },
      withinMs,
    );
    const leaks = [...(await this.#namesOf(volumes)).values()].flat();
    expect(leaks, 'what is left of deleted volumes').to.deep.equal([]);
    this.claims.length = 0;
  }

  async #namesOf(volumes: readonly string[]): Promise<Map<string, string[]>> {
    const found = new Map<string, string[]>();
    for (const [kind] of PARTS) {
      const { items } = await this.#cluster.api.list(kind, { namespace: NAMESPACE });
      const names = items.map(({ metadata }) => metadata.name);
      const own = names.filter((name) => volumes.some((volume) => name.startsWith(volume)));
      found.set(kind.kind, own);
    }
    return found;
  }
}
