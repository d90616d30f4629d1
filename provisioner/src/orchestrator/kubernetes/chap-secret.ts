import { randomBytes } from 'node:crypto';
import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import { annotationsOf, labelsOf } from './names.ts';
import type { VolumeResource } from './volume-resource.ts';

export const SECRETS = resource<KubeObject>('v1', 'Secret', 'secrets', true);

/** What kubelet looks for in a Secret of this type. */
const TYPE = 'kubernetes.io/iscsi-chap';
export const SESSION_PASSWORD = 'node.session.auth.password';

/** RFC 7143 9.2.1 asks for 96 bits at least. */
const SECRET_BYTES = 24;

export const chapSecretName = (volume: string): string => `${volume}-chap`;
export const chapUser = (volume: string): string => volume;

/** Of one volume, made once: who logs in has to prove that he knows it, at discovery too. */
export const newChapSecret = (volume: VolumeResource, namespace: string): KubeObject => {
  const { name } = volume.metadata;
  const password = randomBytes(SECRET_BYTES).toString('base64url');
  return {
    apiVersion: SECRETS.apiVersion,
    kind: SECRETS.kind,
    metadata: {
      namespace,
      name: chapSecretName(name),
      labels: labelsOf(volume, 'settings'),
      annotations: annotationsOf(volume),
    },
    type: TYPE,
    immutable: true,
    stringData: {
      'node.session.auth.username': chapUser(name),
      [SESSION_PASSWORD]: password,
      'discovery.sendtargets.auth.username': chapUser(name),
      'discovery.sendtargets.auth.password': password,
    },
  } as KubeObject;
};
