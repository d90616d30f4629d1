import type { SecretReference, TopologyTerm } from '../orchestrator/kubernetes/volume-resource.ts';
import { formatQuantity, parseQuantity, QuantityError, roundUp } from '../kubernetes/quantity.ts';
import {
  classNameOf,
  PROVISIONER,
  SELECTED_NODE,
  STORAGE_PROVISIONER,
  STORAGE_PROVISIONER_BETA,
  volumeNameOf,
  type Claim,
  type StorageClass,
} from './contract.ts';
import type { PolicySettings } from './volume-policy.ts';
import { readParameters, Refusal, type VolumeParameters } from './parameters.ts';
import { resolveSecret } from './secret-reference.ts';

const BLOCK_BYTES = 4096n;
const MAX_VOLUME_BYTES = 64n << 40n;
const ACCESS_MODES: readonly string[] = ['ReadWriteOnce', 'ReadOnlyMany'];

export interface VolumeSource {
  readonly kind: 'claim' | 'snapshot';
  readonly name: string;
}

/** What a claim and its class ask for, complete and checked: everything else follows from it. */
export interface VolumeRequest {
  readonly name: string;
  readonly claim: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
  readonly className: string;
  readonly sizeBytes: bigint;
  readonly accessModes: readonly string[];
  readonly volumeMode: 'Filesystem' | 'Block';
  readonly reclaimPolicy: 'Delete' | 'Retain';
  readonly mountOptions: readonly string[];
  readonly parameters: VolumeParameters;
  /** Where the scheduler wants the pod; null: nobody has said. */
  readonly selectedNode: string | null;
  readonly allowedTopologies: readonly TopologyTerm[];
  readonly source: VolumeSource | null;
  /** Whose credentials initiators need; null: none is named. */
  readonly chapSecretRef: SecretReference | null;
  /** Of the class's policy, for the record of the volume. */
  readonly settings: PolicySettings;
}

export type Decision =
  | { readonly kind: 'ignore' }
  /** The scheduler has to choose a node first. */
  | { readonly kind: 'wait' }
  /** Somebody else fills the volume; told in an event once. */
  | { readonly kind: 'leave'; readonly message: string }
  | { readonly kind: 'refuse'; readonly message: string }
  | { readonly kind: 'provision'; readonly request: VolumeRequest };

/** Whether a claim is ours to provision at all: nothing but its own fields decides. */
export const isOurs = ({ metadata, spec }: Claim): boolean => {
  const annotations = metadata.annotations ?? {};
  const by = annotations[STORAGE_PROVISIONER] ?? annotations[STORAGE_PROVISIONER_BETA];
  const unbound = (spec?.volumeName ?? '') === '';
  return by === PROVISIONER && unbound && metadata.deletionTimestamp === undefined;
};

/** What is to be done about a claim. `storageClass` null: there is none of that name. */
export const decide = (claim: Claim, storageClass: StorageClass | null): Decision => {
  if (!isOurs(claim)) return { kind: 'ignore' };
  if (storageClass === null) {
    const name = classNameOf(claim);
    return {
      kind: 'refuse',
      message: `There is no StorageClass "${name}"; create it, or correct the claim.`,
    };
  }
  if (storageClass.provisioner !== PROVISIONER) return { kind: 'ignore' };
  const selectedNode = claim.metadata.annotations?.[SELECTED_NODE] ?? null;
  if (storageClass.volumeBindingMode === 'WaitForFirstConsumer' && selectedNode === null) {
    return { kind: 'wait' };
  }
  try {
    const source = sourceOf(claim);
    if (source === 'foreign') {
      return {
        kind: 'leave',
        message:
          'The claim names a data source of a kind that this provisioner does not know; it is left to its populator.',
      };
    }
    return { kind: 'provision', request: requestOf(claim, storageClass, selectedNode, source) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { kind: 'refuse', message: error.message };
  }
};

const requestOf = (
  claim: Claim,
  storageClass: StorageClass,
  selectedNode: string | null,
  source: VolumeSource | null,
): VolumeRequest => {
  const { metadata, spec } = claim;
  if (spec?.selector !== undefined) {
    throw new Refusal(
      'The claim has a selector. A volume that is made for a claim has no labels to select by: remove spec.selector, or name a volume that is there in spec.volumeName.',
    );
  }
  const parameters = readParameters(storageClass.parameters);
  const volumeMode = spec?.volumeMode ?? 'Filesystem';
  if (volumeMode !== 'Filesystem' && volumeMode !== 'Block') {
    throw new Refusal(`volumeMode "${volumeMode}" is not known; write Filesystem or Block.`);
  }
  const reclaimPolicy = storageClass.reclaimPolicy ?? 'Delete';
  if (reclaimPolicy !== 'Delete' && reclaimPolicy !== 'Retain') {
    throw new Refusal(
      `The class ${storageClass.metadata.name} has reclaimPolicy "${reclaimPolicy}"; write Delete or Retain.`,
    );
  }
  return {
    name: volumeNameOf(claim),
    claim: {
      namespace: metadata.namespace ?? 'default',
      name: metadata.name,
      uid: metadata.uid ?? '',
    },
    className: storageClass.metadata.name,
    sizeBytes: requestedBytes(claim, parameters.minimumBytes),
    accessModes: accessModesOf(claim),
    volumeMode,
    reclaimPolicy,
    mountOptions: storageClass.mountOptions ?? [],
    parameters,
    selectedNode,
    allowedTopologies: topologiesOf(storageClass),
    source,
    chapSecretRef: chapSecretOf(claim, parameters),
    settings: {},
  };
};

const chapSecretOf = (claim: Claim, { chapSecret }: VolumeParameters): SecretReference | null => {
  if (chapSecret === null) return null;
  const { namespace = 'default', name, annotations = {} } = claim.metadata;
  return resolveSecret(chapSecret, {
    ...{ volume: volumeNameOf(claim), namespace, claim: name, annotations },
  });
};

/** What a volume for the claim has, whole blocks. Throws Refusal. */
export const requestedBytes = ({ spec }: Claim, minimumBytes: bigint): bigint => {
  const text = spec?.resources?.requests?.['storage'];
  if (text === undefined) {
    throw new Refusal('The claim asks for no storage; write spec.resources.requests.storage.');
  }
  let bytes: bigint;
  try {
    bytes = parseQuantity(text);
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    throw new Refusal(`spec.resources.requests.storage: ${error.message}`, { cause: error });
  }
  if (bytes <= 0n) throw new Refusal('The claim asks for no storage; ask for at least 4Ki.');
  const size = roundUp(bytes > minimumBytes ? bytes : minimumBytes, BLOCK_BYTES);
  if (size > MAX_VOLUME_BYTES) {
    throw new Refusal(
      `A volume has at most ${formatQuantity(MAX_VOLUME_BYTES)}; the claim asks for ${text}.`,
    );
  }
  const limit = spec?.resources?.limits?.['storage'];
  if (limit !== undefined && parseQuantity(limit) < size) {
    throw new Refusal(
      `The volume would have ${formatQuantity(size)}, above the claim's limit of ${limit}; raise resources.limits.storage.`,
    );
  }
  return size;
};

const accessModesOf = ({ spec }: Claim): readonly string[] => {
  const modes = spec?.accessModes ?? [];
  if (modes.length === 0) throw new Refusal('The claim has no access mode; write ReadWriteOnce.');
  const wrong = modes.find((mode) => !ACCESS_MODES.includes(mode));
  if (wrong === undefined) return modes;
  throw new Refusal(
    `Access mode ${wrong} is not possible with a block volume of one writer; write ReadWriteOnce or ReadOnlyMany.`,
  );
};

const topologiesOf = ({ allowedTopologies = [] }: StorageClass): TopologyTerm[] =>
  allowedTopologies.map(({ matchLabelExpressions = [] }) => ({ matchLabelExpressions }));

interface Reference {
  /** The API server writes null for the core group. */
  readonly apiGroup?: string | null;
  readonly kind: string;
  readonly name: string;
}

/** Null: an empty volume. Never an empty one where the claim names a source. */
const sourceOf = ({ metadata, spec }: Claim): VolumeSource | 'foreign' | null => {
  const reference: Reference | undefined = spec?.dataSourceRef ?? spec?.dataSource;
  if (reference === undefined) return null;
  const { kind, name } = reference;
  const apiGroup = reference.apiGroup ?? '';
  const namespace = spec?.dataSourceRef?.namespace;
  if (namespace !== undefined && namespace !== metadata.namespace) {
    throw new Refusal(
      'A data source in another namespace is not supported; clone it in its own namespace.',
    );
  }
  if (apiGroup === '' && kind === 'PersistentVolumeClaim') return { kind: 'claim', name };
  if (apiGroup === 'openebs.io' && kind === 'OpenEBSSnapshot') return { kind: 'snapshot', name };
  return 'foreign';
};
