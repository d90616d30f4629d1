import { parseQuantity, QuantityError } from '../kubernetes/quantity.ts';
import type { SecretTemplates } from './secret-reference.ts';

/** Why a claim cannot be provisioned as it is; the text is what its author reads in an event. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** As it is now; it may be otherwise soon. */
export class NotYet extends Refusal {}

export const MAX_REPLICAS = 5;
export const DEFAULT_POOL = 'default';
const DEFAULT_REPLICAS = 3;
const FILE_SYSTEMS: readonly string[] = ['ext4', 'xfs', 'ext3', 'btrfs'];

/** What a class asks for, checked. */
export interface VolumeParameters {
  readonly replicas: number;
  readonly pool: string;
  /** Null: what kubelet takes by itself. */
  readonly fsType: string | null;
  /** No two replicas share a value of this label of their nodes. */
  readonly topologyKey: string;
  /** A volume is at least this large. Bytes. */
  readonly minimumBytes: bigint;
  /** Pods carry the annotations by which Prometheus finds what it scrapes. */
  readonly monitored: boolean;
  /** Who logs in has to prove himself by a secret of the volume's own. */
  readonly chap: boolean;
  /** The same, by a Secret that is there; null: none. */
  readonly chapSecret: SecretTemplates | null;
  /** Name of a VolumePolicy; null: none. */
  readonly policy: string | null;
  /** Which of these the class itself has said, by our name. */
  readonly given: ReadonlySet<string>;
}

interface Reader {
  /** Names by which the parameter goes; the first one is ours. */
  readonly names: readonly string[];
  readonly what: string;
  readonly read: (value: string, into: Draft, name: string) => void;
}

type Draft = {
  -readonly [Key in keyof Omit<VolumeParameters, 'chapSecret'>]: VolumeParameters[Key];
} & { chapSecretName: string | null; chapSecretNamespace: string | null };

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL_KEY =
  /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

const readFlag = (value: string, name: string): boolean => {
  if (value === 'true' || value === 'false') return value === 'true';
  throw new Refusal(`Parameter ${name} of the class is "${value}"; write "true" or "false".`);
};

const READERS: readonly Reader[] = [
  {
    names: ['replicas', 'openebs.io/jiva-replica-count'],
    what: `copies of the data, 1 to ${MAX_REPLICAS}`,
    read: (value, into, name) => {
      const count = Number(value);
      if (!/^\d+$/.test(value) || count < 1 || count > MAX_REPLICAS) {
        throw new Refusal(
          `Parameter ${name} of the class is "${value}"; write a number from 1 to ${MAX_REPLICAS}.`,
        );
      }
      into.replicas = count;
    },
  },
  {
    names: ['pool', 'openebs.io/storage-pool'],
    what: 'the StoragePool in which replicas are kept',
    read: (value, into, name) => {
      if (!DNS_LABEL.test(value)) {
        throw new Refusal(
          `Parameter ${name} of the class is "${value}"; write the name of a StoragePool (kubectl get storagepools).`,
        );
      }
      into.pool = value;
    },
  },
  {
    names: ['fsType', 'csi.storage.k8s.io/fstype'],
    what: `file system: ${FILE_SYSTEMS.join(', ')}`,
    read: (value, into, name) => {
      if (!FILE_SYSTEMS.includes(value)) {
        throw new Refusal(
          `Parameter ${name} of the class is "${value}"; write one of ${FILE_SYSTEMS.join(', ')}.`,
        );
      }
      into.fsType = value;
    },
  },
  {
    names: ['topologyKey'],
    what: 'label of nodes that no two replicas share',
    read: (value, into, name) => {
      if (!LABEL_KEY.test(value)) {
        throw new Refusal(
          `Parameter ${name} of the class is "${value}"; write the key of a node label, as topology.kubernetes.io/zone.`,
        );
      }
      into.topologyKey = value;
    },
  },
  {
    names: ['openebs.io/capacity'],
    what: 'the least size of a volume',
    read: (value, into, name) => {
      try {
        into.minimumBytes = parseQuantity(value);
      } catch (error) {
        if (!(error instanceof QuantityError)) throw error;
        throw new Refusal(`Parameter ${name} of the class: ${error.message}`, { cause: error });
      }
    },
  },
  {
    names: ['monitor', 'openebs.io/volume-monitor'],
    what: '"true": Prometheus finds the pods by annotations',
    read: (value, into, name) => (into.monitored = readFlag(value, name)),
  },
  {
    names: ['chap'],
    what: '"true": initiators log in by CHAP, with a Secret of the volume',
    read: (value, into, name) => (into.chap = readFlag(value, name)),
  },
  {
    names: ['chapSecretName', 'csi.storage.k8s.io/node-stage-secret-name'],
    what: 'the Secret by which initiators log in by CHAP, with templates',
    read: (value, into) => (into.chapSecretName = value),
  },
  {
    names: ['chapSecretNamespace', 'csi.storage.k8s.io/node-stage-secret-namespace'],
    what: 'the namespace of that Secret, with templates',
    read: (value, into) => (into.chapSecretNamespace = value),
  },
  {
    names: ['policy'],
    what: 'the VolumePolicy that says what the class does not',
    read: (value, into, name) => {
      if (!DNS_LABEL.test(value)) {
        throw new Refusal(
          `Parameter ${name} of the class is "${value}"; write the name of a VolumePolicy (kubectl get volumepolicies).`,
        );
      }
      into.policy = value;
    },
  },
];

/** For documentation and error messages. */
export const PARAMETERS: readonly { readonly name: string; readonly what: string }[] = READERS.map(
  ({ names, what }) => ({ name: names.join(' or '), what }),
);

/** Reads the parameters of a class; throws Refusal for what it does not know or understand. */
export const readParameters = (
  given: Readonly<Record<string, string>> | undefined,
): VolumeParameters => {
  const draft: Draft = {
    replicas: DEFAULT_REPLICAS,
    pool: DEFAULT_POOL,
    fsType: null,
    topologyKey: 'kubernetes.io/hostname',
    minimumBytes: 0n,
    monitored: false,
    chap: false,
    chapSecretName: null,
    chapSecretNamespace: null,
    policy: null,
    given: new Set(),
  };
  const taken = new Map<Reader, string>();
  for (const [name, value] of Object.entries(given ?? {})) {
    const reader = READERS.find(({ names }) => names.includes(name));
    if (reader === undefined) {
      const known = READERS.map(({ names }) => names[0]).join(', ');
      throw new Refusal(`The class has a parameter ${name} that is not known; known are ${known}.`);
    }
    const other = taken.get(reader);
    if (other !== undefined) {
      throw new Refusal(`The class has ${other} and ${name}, which mean the same; keep one.`);
    }
    taken.set(reader, name);
    reader.read(value, draft, name);
  }
  return {
    ...draft,
    chapSecret: chapSecretOf(draft),
    given: new Set([...taken.keys()].map(({ names }) => names[0] ?? '')),
  };
};

const chapSecretOf = ({ chap, chapSecretName, chapSecretNamespace }: Draft) => {
  if (chapSecretName === null && chapSecretNamespace === null) return null;
  if (chapSecretName === null || chapSecretNamespace === null) {
    const missing = chapSecretName === null ? 'chapSecretName' : 'chapSecretNamespace';
    throw new Refusal(
      `The class says where the CHAP Secret is by half: write ${missing} too (templates as \${pvc.namespace} are possible).`,
    );
  }
  if (chap) {
    throw new Refusal(
      'The class has chap, which makes a Secret for each volume, and chapSecretName, which names one that is there; keep one.',
    );
  }
  return { name: chapSecretName, namespace: chapSecretNamespace };
};
