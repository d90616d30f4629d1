import { hash } from 'node:crypto';
import type { KubeObject, ObjectMeta } from '../../kubernetes/objects.ts';
import type { ClusterNode } from './cluster-node.ts';
import { VOLUME_LABEL } from './names.ts';
import type { Job } from './pool-job.ts';
import type { Deployment } from './roll-out.ts';
import { TEMPLATE_HASH } from './template-hash.ts';

/** An object that has all it asks for, or, in its place, the fingerprint of that. */
interface Fingerprinted extends KubeObject {
  readonly spec?: unknown;
  readonly fingerprint?: string;
}

/**
 * Of what an object asks for: it changes with that. The generation alone does not tell, as a
 * Deployment gets another one with each annotation, whoever makes it.
 */
export const fingerprintOf = ({ fingerprint, metadata, spec }: Fingerprinted): string =>
  fingerprint ??
  hash('sha256', JSON.stringify([metadata.annotations?.[TEMPLATE_HASH], spec]), 'base64url');

/** Who manages which field is told by the API server at length, and nobody here asks. */
export const slim = <T extends KubeObject>(object: T): T => {
  const metadata = { ...object.metadata, managedFields: undefined };
  return { ...object, metadata };
};

/** Templates of pods are long, and there are four or more for each volume. */
export const slimDeployment = (deployment: Deployment): Deployment => {
  const { observedGeneration, replicas, updatedReplicas, availableReplicas } =
    deployment.status ?? {};
  const status = { observedGeneration, replicas, updatedReplicas, availableReplicas };
  const fingerprint = fingerprintOf(deployment);
  return { ...identityOf(deployment), fingerprint, status } as Deployment;
};

export const slimJob = (job: Job): Job => {
  const { apiVersion, kind, metadata } = slim(job);
  const { succeeded, conditions } = job.status ?? {};
  return { apiVersion, kind, metadata, status: { succeeded, conditions } } as Job;
};

/** What a node has of images and resources is longer than all the rest of it. */
export const slimNode = (node: ClusterNode): ClusterNode => {
  const { conditions } = node.status ?? {};
  return { ...slim(node), status: conditions === undefined ? {} : { conditions } };
};

/** Which object of which volume it is. */
export const identityOf = ({ apiVersion, kind, metadata }: KubeObject): KubeObject => {
  const { name, namespace, uid, resourceVersion, generation, labels, annotations } = metadata;
  const kept = {
    ...{ name, namespace, uid, resourceVersion, generation },
    labels: { [VOLUME_LABEL]: labels?.[VOLUME_LABEL] },
    annotations: { [TEMPLATE_HASH]: annotations?.[TEMPLATE_HASH] },
  };
  return { apiVersion, kind, metadata: kept as ObjectMeta };
};
