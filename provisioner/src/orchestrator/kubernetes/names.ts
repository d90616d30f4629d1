import type { VolumeResource } from './volume-resource.ts';

export const VOLUME_LABEL = 'openebs.io/persistent-volume';
export const CLAIM_UID_LABEL = 'openebs.io/persistent-volume-claim-uid';
export const CLAIM_ANNOTATION = 'openebs.io/persistent-volume-claim';
export const COMPONENT_LABEL = 'openebs.io/component';
export const REPLICA_LABEL = 'openebs.io/replica';
export const ROLE_LABEL = 'openebs.io/replica-role';
export const MANAGED_BY = { 'app.kubernetes.io/managed-by': 'openebs' } as const;

export const ISCSI_PORT = 3260;
export const TARGET_CONTROL_PORT = 9501;
export const REPLICA_CONTROL_PORT = 9502;
export const REPLICA_DATA_PORT = 9503;

export const controllerServiceName = (volume: string): string => `${volume}-ctrl-svc`;
export const replicaServiceName = (volume: string): string => `${volume}-rep`;
export const targetName = (volume: string): string => `${volume}-ctrl`;
export const replicaName = (volume: string, index: number): string => `${volume}-rep-${index}`;
/** In the headless Service's domain: an address that stays while pods come and go. */
export const replicaHostName = (index: number): string => `rep-${index}`;
export const replicaDomain = (volume: string, namespace: string, index: number): string =>
  `${replicaHostName(index)}.${replicaServiceName(volume)}.${namespace}.svc`;
/** Where the target finds the replica. */
export const replicaAddress = (volume: string, namespace: string, index: number): string =>
  `${replicaDomain(volume, namespace, index)}:${REPLICA_DATA_PORT}`;
export const iqnOf = (volume: string): string => `iqn.2016-09.com.openebs:${volume}`;

/** A UUID: the part of `pvc-<uid>` behind the first hyphen; of other names nothing is known. */
export const idOfName = (volume: string): string =>
  volume.startsWith('pvc-') ? volume.slice(4) : '';

export const volumeIdOf = ({ metadata }: VolumeResource): string =>
  idOfName(metadata.name) || (metadata.uid ?? '');

/**
 * On every object of a volume, so that none is forgotten when its claim and its volume are gone.
 * Names of claims can be longer than a label's value may be: they are annotations.
 */
export const labelsOf = (
  { metadata, spec }: VolumeResource,
  component: 'volume' | 'target' | 'replica' | 'cleaner' | 'cloner' | 'settings',
): Record<string, string> => ({
  ...MANAGED_BY,
  'app.kubernetes.io/name': 'openebs',
  'app.kubernetes.io/component': component,
  [VOLUME_LABEL]: metadata.name,
  [COMPONENT_LABEL]: component,
  ...(spec.claimRef === undefined ? {} : { [CLAIM_UID_LABEL]: spec.claimRef.uid }),
});

export const annotationsOf = ({ spec }: VolumeResource): Record<string, string> =>
  spec.claimRef === undefined
    ? {}
    : { [CLAIM_ANNOTATION]: `${spec.claimRef.namespace}/${spec.claimRef.name}` };

export const selectorOf = (
  { metadata }: VolumeResource,
  component: 'target' | 'replica',
): Record<string, string> => ({ [VOLUME_LABEL]: metadata.name, [COMPONENT_LABEL]: component });
