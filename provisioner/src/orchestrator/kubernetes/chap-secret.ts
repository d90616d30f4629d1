import { randomBytes } from 'node:crypto';
import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import type { ChapSettings } from '../orchestrator.ts';
import { annotationsOf, labelsOf } from './names.ts';
import type { VolumeResource } from './volume-resource.ts';

export interface Secret extends KubeObject {
  readonly type?: string;
  /** In base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export const SECRETS = resource<Secret>('v1', 'Secret', 'secrets', true);

/** What kubelet looks for in a Secret of this type. */
export const CHAP_SECRET_TYPE = 'kubernetes.io/iscsi-chap';
export const SESSION_PASSWORD = 'node.session.auth.password';
export const FIRST_CHAP = 'first-chap.json';

/** RFC 7143 9.2.1 asks for 96 bits at least. */
const SECRET_BYTES = 24;

export const chapSecretName = (volume: string): string => `${volume}-chap`;
export const chapUser = (volume: string): string => volume;

/** What the target of a volume starts with whose class names a Secret of another namespace. */
export const firstChapSecret = (
  volume: VolumeResource,
  chap: ChapSettings,
  namespace: string,
): Secret =>
  ({
    ...ownSecret(volume, namespace),
    stringData: { [FIRST_CHAP]: JSON.stringify(chap) },
  }) as Secret;

/** Of one volume, made once: who logs in has to prove that he knows it, at discovery too. */
export const newChapSecret = (volume: VolumeResource, namespace: string): Secret => {
  const { name } = volume.metadata;
  const password = randomBytes(SECRET_BYTES).toString('base64url');
  return {
    ...ownSecret(volume, namespace),
    type: CHAP_SECRET_TYPE,
    stringData: {
      'node.session.auth.username': chapUser(name),
      [SESSION_PASSWORD]: password,
      'discovery.sendtargets.auth.username': chapUser(name),
      'discovery.sendtargets.auth.password': password,
    },
  } as Secret;
};

const ownSecret = (volume: VolumeResource, namespace: string): Secret & { immutable: true } => ({
  apiVersion: SECRETS.apiVersion,
  kind: SECRETS.kind,
  metadata: {
    namespace,
    name: chapSecretName(volume.metadata.name),
    labels: labelsOf(volume, 'settings'),
    annotations: annotationsOf(volume),
  },
  immutable: true,
});
