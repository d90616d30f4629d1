import { resource, type KubeObject, type Resource } from '../../kubernetes/objects.ts';
import { replicaDeployment } from './replica-manifest.ts';
import { controllerService, replicaDisruptionBudget, replicaService } from './service-manifests.ts';
import type { KubernetesSettings } from './settings.ts';
import { targetDeployment } from './target-manifest.ts';
import type { StoragePool, VolumeResource } from './volume-resource.ts';
import { votersOf } from './voters.ts';

export interface Service extends KubeObject {
  readonly spec?: { readonly clusterIP?: string };
}

export const SERVICES = resource<Service>('v1', 'Service', 'services', true);
export const NODES = resource<KubeObject>('v1', 'Node', 'nodes', false);
export const DEPLOYMENTS = resource<KubeObject>('apps/v1', 'Deployment', 'deployments', true);
export const DISRUPTION_BUDGETS = resource<KubeObject>(
  'policy/v1',
  'PodDisruptionBudget',
  'poddisruptionbudgets',
  true,
);

export interface Desired {
  readonly resource: Resource;
  readonly object: KubeObject;
}

/** The address first: everything else names it. */
export const desiredAddress = (
  volume: VolumeResource,
  settings: KubernetesSettings,
  clusterIp: string | null,
): Desired => ({
  resource: SERVICES,
  object: controllerService(volume, settings.namespace, clusterIp),
});

/** Everything of a volume but its address, as a function of its record and nothing else. */
export const desiredObjects = (
  volume: VolumeResource,
  pool: StoragePool,
  settings: KubernetesSettings,
  portalIp: string,
): readonly Desired[] => [
  { resource: SERVICES, object: replicaService(volume, settings.namespace) },
  ...votersOf(volume.spec.replicas).map((voter) => ({
    resource: DEPLOYMENTS,
    object: replicaDeployment(volume, voter, pool, settings),
  })),
  { resource: DEPLOYMENTS, object: targetDeployment(volume, portalIp, settings) },
  {
    resource: DISRUPTION_BUDGETS,
    object: replicaDisruptionBudget(volume, settings.namespace),
  },
];
