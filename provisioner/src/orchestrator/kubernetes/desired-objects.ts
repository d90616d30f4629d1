import { resource, type KubeObject, type Resource } from '../../kubernetes/objects.ts';
import { replicaDeployment } from './replica-manifest.ts';
import { replicaResource } from './replica-resource.ts';
import { withTemplateHash } from './template-hash.ts';
import { controllerService, replicaDisruptionBudget, replicaService } from './service-manifests.ts';
import type { KubernetesSettings } from './settings.ts';
import { targetDeployment } from './target-manifest.ts';
import { runningMembers } from './members.ts';
import { REPLICA_RESOURCES, type StoragePool, type VolumeResource } from './volume-resource.ts';
import { CONFIG_MAPS, settingsMap } from './volume-settings.ts';

export interface Service extends KubeObject {
  readonly spec?: { readonly clusterIP?: string };
}

export const SERVICES = resource<Service>('v1', 'Service', 'services', true);
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
  { resource: CONFIG_MAPS, object: settingsMap(volume, settings.namespace) },
  ...runningMembers(volume).flatMap((member) => [
    {
      resource: DEPLOYMENTS,
      object: withTemplateHash(replicaDeployment(volume, member, pool, settings)),
    },
    { resource: REPLICA_RESOURCES, object: replicaResource(volume, member, settings.namespace) },
  ]),
  { resource: DEPLOYMENTS, object: withTemplateHash(targetDeployment(volume, portalIp, settings)) },
  {
    resource: DISRUPTION_BUDGETS,
    object: replicaDisruptionBudget(volume, settings.namespace),
  },
];
