import { resource, type KubeObject } from '../kubernetes/objects.ts';
import { GROUP, type VolumeResourceSpec } from '../orchestrator/kubernetes/volume-resource.ts';
import type { VolumeRequest } from './claim.ts';
import type { VolumeParameters } from './parameters.ts';

/**
 * What volumes of several classes have in common. It is read when a volume is made: the volume's
 * record keeps what it said, and is changed there.
 */
export interface VolumePolicy extends KubeObject {
  readonly spec: Partial<Pick<VolumeParameters, 'replicas' | 'pool' | 'topologyKey'>> &
    PolicySettings;
}

export type PolicySettings = Pick<
  VolumeResourceSpec,
  'replaceAfterMinutes' | 'resources' | 'tolerations'
>;

export const VOLUME_POLICIES = resource<VolumePolicy>(
  GROUP,
  'VolumePolicy',
  'volumepolicies',
  false,
);

/** The class says more than its policy: what is among its parameters counts. */
export const withPolicy = (request: VolumeRequest, { spec }: VolumePolicy): VolumeRequest => {
  const { parameters } = request;
  const { given } = parameters;
  const { replaceAfterMinutes, resources, tolerations } = spec;
  return {
    ...request,
    parameters: {
      ...parameters,
      ...(given.has('replicas') || spec.replicas === undefined ? {} : { replicas: spec.replicas }),
      ...(given.has('pool') || spec.pool === undefined ? {} : { pool: spec.pool }),
      ...(given.has('topologyKey') || spec.topologyKey === undefined
        ? {}
        : { topologyKey: spec.topologyKey }),
    },
    settings: {
      ...(replaceAfterMinutes === undefined ? {} : { replaceAfterMinutes }),
      ...(resources === undefined ? {} : { resources }),
      ...(tolerations === undefined ? {} : { tolerations }),
    },
  };
};
