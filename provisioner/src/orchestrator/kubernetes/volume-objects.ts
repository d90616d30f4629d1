import { KubeError, type KubeApi } from '../../kubernetes/kube-api.ts';
import type { KubeObject, Resource } from '../../kubernetes/objects.ts';
import {
  DEPLOYMENTS,
  desiredAddress,
  desiredObjects,
  DISRUPTION_BUDGETS,
  SERVICES,
  type Service,
} from './desired-objects.ts';
import { controllerServiceName, VOLUME_LABEL } from './names.ts';
import type { KubernetesSettings } from './settings.ts';
import {
  STORAGE_POOLS,
  VOLUME_RESOURCES,
  type StoragePool,
  type VolumeResource,
} from './volume-resource.ts';

/** The pool that a volume asks for is not there; told to whoever asked. */
export class PoolMissing extends Error {
  override readonly name = 'PoolMissing';
}

/** Brings the objects of a volume about, and takes them away. Everything may be done again. */
export class VolumeObjects {
  readonly #api: KubeApi;
  readonly #settings: KubernetesSettings;

  constructor(api: KubeApi, settings: KubernetesSettings) {
    this.#api = api;
    this.#settings = settings;
  }

  /**
   * Applies everything that the record asks for. Returns the address of the volume. Objects that
   * are as they should be are left untouched by the API server.
   */
  async ensure(volume: VolumeResource, knownIp: string | null = null): Promise<string> {
    const pool = await this.pool(volume.spec.pool);
    const address = desiredAddress(volume, this.#settings, knownIp);
    const service: Service = await this.#api.apply(address.resource, address.object);
    const portalIp = service.spec?.clusterIP;
    if (portalIp === undefined || portalIp === 'None') {
      throw new KubeError(0, 'NoAddress', `Service ${service.metadata.name} has no address yet`);
    }
    const desired = desiredObjects(volume, pool, this.#settings, portalIp);
    await Promise.all(desired.map(({ resource, object }) => this.#api.apply(resource, object)));
    return portalIp;
  }

  /** Throws PoolMissing. */
  async pool(name: string): Promise<StoragePool> {
    try {
      return await this.#api.get(STORAGE_POOLS, { name });
    } catch (error) {
      if (!(error instanceof KubeError && error.isNotFound)) throw error;
    }
    if (name !== 'default') {
      throw new PoolMissing(
        `There is no StoragePool "${name}"; create it (kubectl get storagepools lists those that are there), or correct the class.`,
      );
    }
    return {
      apiVersion: STORAGE_POOLS.apiVersion,
      kind: STORAGE_POOLS.kind,
      metadata: { name },
      spec: { path: this.#settings.defaultPoolPath },
    };
  }

  /** The address of a volume, if it has one. */
  async address(volume: string): Promise<string | null> {
    try {
      const where = { namespace: this.#settings.namespace, name: controllerServiceName(volume) };
      return (await this.#api.get(SERVICES, where)).spec?.clusterIP ?? null;
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return null;
      throw error;
    }
  }

  /** Target first, so that nothing writes while replicas go; the record last. */
  async remove(volume: string): Promise<void> {
    const labelSelector = `${VOLUME_LABEL}=${volume}`;
    const { namespace } = this.#settings;
    const found = async (resource: Resource): Promise<readonly KubeObject[]> =>
      (await this.#api.list(resource, { namespace, labelSelector })).items;
    const removeAll = async (resource: Resource, objects: readonly KubeObject[]): Promise<void> => {
      await Promise.all(objects.map(({ metadata }) => this.#api.remove(resource, metadata)));
    };
    const deployments = await found(DEPLOYMENTS);
    const isTarget = ({ metadata }: KubeObject): boolean => metadata.name === `${volume}-ctrl`;
    await removeAll(DEPLOYMENTS, deployments.filter(isTarget));
    await removeAll(
      DEPLOYMENTS,
      deployments.filter((each) => !isTarget(each)),
    );
    await removeAll(DISRUPTION_BUDGETS, await found(DISRUPTION_BUDGETS));
    await removeAll(SERVICES, await found(SERVICES));
    await this.#api.remove(VOLUME_RESOURCES, { namespace, name: volume });
  }
}
