import { chapOf } from '../../chap.ts';
import type { Clock } from '../../kubernetes/clock.ts';
import { KubeError, type KubeApi } from '../../kubernetes/kube-api.ts';
import { Reflector, type ReflectorOptions } from '../../kubernetes/reflector.ts';
import { Problem } from '../../problem.ts';
import type { ChapSettings } from '../orchestrator.ts';
import {
  CHAP_SECRET_TYPE,
  firstChapSecret,
  newChapSecret,
  SECRETS,
  type Secret,
} from './chap-secret.ts';
import { isProtected, type SecretReference, type VolumeResource } from './volume-resource.ts';

/** In the settings: those of all namespaces may be read. */
export const ALL_NAMESPACES = '*';

/** The Secret that a class names is not there, or says nothing of use; told to whoever asked. */
export class ChapSecretUnfit extends Error {
  override readonly name = 'ChapSecretUnfit';
}

export interface ChapSecretContent {
  readonly chap: ChapSettings;
  /** Its resource version: another one, perhaps other credentials. */
  readonly version: string;
}

/** Where kubelet looks for its proof: to discovery, and to the session. */
const PLACES = ['node.session.auth', 'discovery.sendtargets.auth'] as const;
const [SESSION, DISCOVERY] = PLACES;
const PARTS = ['username', 'password', 'username_in', 'password_in'] as const;
const KEYS: readonly string[] = PLACES.flatMap((place) => PARTS.map((part) => `${place}.${part}`));

/**
 * Secrets of the type kubernetes.io/iscsi-chap in the namespaces that the settings name, kept up to
 * date by one watch for each; no other Secret is asked for.
 */
export class ChapSecrets {
  readonly #reflectors: ReadonlyMap<string, Reflector<Secret>>;

  constructor({
    namespaces,
    ...options
  }: {
    readonly api: KubeApi;
    readonly clock: Clock;
    readonly log: ReflectorOptions<Secret>['log'];
    readonly namespaces: readonly string[];
  }) {
    const watched = namespaces.includes(ALL_NAMESPACES) ? [ALL_NAMESPACES] : namespaces;
    this.#reflectors = new Map(
      watched.map((namespace) => [
        namespace,
        new Reflector({
          ...options,
          resource: SECRETS,
          fieldSelector: `type=${CHAP_SECRET_TYPE}`,
          keep: slimSecret,
          ...(namespace === ALL_NAMESPACES ? {} : { namespace }),
        }),
      ]),
    );
  }

  /** Until the signal; rejects never. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#reflectors.values()].map((each) => each.run(signal)));
  }

  /** One was made, changed or removed. */
  onChange(listener: (secret: SecretReference) => void): void {
    for (const reflector of this.#reflectors.values()) {
      reflector.onChange((before, after) => {
        const { namespace = '', name } = (after ?? before)?.metadata ?? { name: '' };
        listener({ namespace, name });
      });
    }
  }

  /** Throws ChapSecretUnfit; its words name no credentials. */
  read({ namespace, name }: SecretReference): ChapSecretContent {
    const reflector = this.#reflectors.get(ALL_NAMESPACES) ?? this.#reflectors.get(namespace);
    if (reflector === undefined) {
      const known = [...this.#reflectors.keys()].join(', ');
      throw new ChapSecretUnfit(
        `The provisioner may not read CHAP Secrets of namespace ${namespace}, only of: ${known || 'none'}; add it to the chart's value chap.secretNamespaces (helm upgrade), or correct the class.`,
      );
    }
    const secret = reflector.get(`${namespace}/${name}`);
    if (secret !== undefined) return contentOf(secret, `Secret ${namespace}/${name}`);
    if (!reflector.synced) {
      throw new ChapSecretUnfit(`The Secrets of namespace ${namespace} could not be read yet.`);
    }
    throw new ChapSecretUnfit(
      `There is no Secret ${namespace}/${name} of type ${CHAP_SECRET_TYPE}; create it (manifests/examples/chap.yaml has one), or correct the class. A Secret's type cannot be changed: one of another type is to be made anew.`,
    );
  }
}

/**
 * The Secret that the target of the volume starts with. Once: nobody could log in who knows another
 * one. Throws ChapSecretUnfit.
 */
export const makeOwnSecret = async (
  volume: VolumeResource,
  api: KubeApi,
  secrets: ChapSecrets,
  namespace: string,
): Promise<void> => {
  if (!isProtected(volume)) return;
  const { chapSecretRef } = volume.spec;
  try {
    const secret =
      chapSecretRef === undefined
        ? newChapSecret(volume, namespace)
        : firstChapSecret(volume, secrets.read(chapSecretRef).chap, namespace);
    await api.create(SECRETS, secret);
  } catch (error) {
    // Long made, and the replicas keep what counts.
    const isKept = volume.status?.chap?.secretVersion !== undefined;
    if (error instanceof ChapSecretUnfit && isKept) return;
    if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
  }
};

/** Other keys are no affair of ours, nor is who has changed which. */
const slimSecret = ({ apiVersion, kind, metadata, data = {} }: Secret): Secret => {
  const { namespace = '', name, uid = '', resourceVersion = '' } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { namespace, name, uid, resourceVersion },
    data: Object.fromEntries(Object.entries(data).filter(([key]) => KEYS.includes(key))),
  };
};

const contentOf = ({ metadata, data = {} }: Secret, words: string): ChapSecretContent => {
  const valueOf = (key: string): string | null => textOf(data[key], `${words}: ${key}`);
  for (const part of ['username', 'password'] as const) {
    for (const place of PLACES) {
      if (valueOf(`${place}.${part}`) !== null) continue;
      throw new ChapSecretUnfit(
        `${words} has no ${place}.${part}; it needs username and password at ${SESSION} and, the same, at ${DISCOVERY}, as discovery asks for a proof too.`,
      );
    }
  }
  for (const part of PARTS) {
    if (valueOf(`${SESSION}.${part}`) === valueOf(`${DISCOVERY}.${part}`)) continue;
    throw new ChapSecretUnfit(
      `${words} says another ${part} at ${DISCOVERY} than at ${SESSION}; a volume has one for both: write the same.`,
    );
  }
  const mutualUser = valueOf(`${SESSION}.username_in`);
  const mutualSecret = valueOf(`${SESSION}.password_in`);
  try {
    const chap = chapOf({
      user: valueOf(`${SESSION}.username`) ?? '',
      secret: valueOf(`${SESSION}.password`) ?? '',
      ...(mutualUser === null ? {} : { mutualUser }),
      ...(mutualSecret === null ? {} : { mutualSecret }),
    });
    if (chap === null) throw new TypeError('nothing was read');
    return { chap, version: metadata.resourceVersion ?? '' };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new ChapSecretUnfit(
      `${words} cannot be used: ${error.message} (keys ${SESSION}.username, .password, .username_in, .password_in); correct it.`,
      { cause: error },
    );
  }
};

/** Null: it is not there, or empty, which kubelet takes for the same. */
const textOf = (encoded: string | undefined, words: string): string | null => {
  const bytes = Buffer.from(encoded ?? '', 'base64');
  if (bytes.length === 0) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new ChapSecretUnfit(`${words} is not UTF-8; write text.`, { cause: error });
  }
};
