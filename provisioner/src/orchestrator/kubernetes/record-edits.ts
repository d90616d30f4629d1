import type { JsonPatchOperation } from '../../kubernetes/kube-api.ts';
import { formatQuantity, parseQuantity } from '../../kubernetes/quantity.ts';
import { MAX_REPLICAS } from '../../limits.ts';
import { Problem } from '../../problem.ts';
import { formatSize } from '../../size.ts';
import { findReplica, requireCopies } from '../local/record-changes.ts';
import type { VolumeChange, VolumeView } from '../orchestrator.ts';
import { wantedMembers, withState } from './members.ts';
import { rebuildRateOf, type VolumeResource } from './volume-resource.ts';

/** The replicas keep who may log in, so it is in no record. */
type RecordChange = Exclude<VolumeChange, { kind: 'chap' }>;

/**
 * How the record has to be changed, for the version that is given and no other; null: it is so
 * already. Throws Problem size-invalid, replica-refused ...
 */
export const recordEdits = (
  record: VolumeResource,
  view: VolumeView,
  change: RecordChange,
): readonly JsonPatchOperation[] | null => {
  const edits = editsOf(record, view, change);
  if (edits === null) return null;
  const { generation } = record.metadata;
  return [{ op: 'test', path: '/metadata/generation', value: generation }, ...edits];
};

const editsOf = (
  record: VolumeResource,
  view: VolumeView,
  change: RecordChange,
): readonly JsonPatchOperation[] | null => {
  const { spec } = record;
  switch (change.kind) {
    case 'resize':
      return sizeEdits(record, change.sizeBytes);
    case 'rebuild-rate':
      return rateEdits(record, change.bytesPerSecond);
    case 'add-replica': {
      if (spec.replicas >= MAX_REPLICAS) {
        throw new Problem('replica-refused', `a volume has at most ${MAX_REPLICAS} replicas`, {
          next: `remove one first: mayactl replica remove ${view.name} REPLICA`,
        });
      }
      return [{ op: 'replace', path: '/spec/replicas', value: spec.replicas + 1 }];
    }
    case 'remove-replica': {
      const { id, role } = findReplica({ name: view.name, members: view.replicas }, change.replica);
      if (role !== 'data') {
        const words = 'a witness comes and goes with the number of replicas';
        throw new Problem('replica-refused', words, { next: `mayactl replica list ${view.name}` });
      }
      if (wantedMembers(record).every((member) => member.id !== id)) return null;
      requireCopies(view, id);
      return [
        { op: 'replace', path: '/spec/replicas', value: spec.replicas - 1 },
        { op: 'replace', path: '/spec/members', value: withState(spec.members, id, 'Leaving') },
      ];
    }
  }
};

/** Rather refused than left out: the volume would be open to everybody at first. */
export const noFirstChap = (name: string): Problem =>
  new Problem('chap-invalid', 'in a cluster a volume is not created with CHAP settings by hand', {
    next: `create it without, then, before it is used: mayactl volume set-chap ${name} --chap-user U --chap-secret-file F`,
  });

/**
 * Whether who may log in can be said by hand. What a claim has is mounted by kubelet, as its
 * PersistentVolume says, and that cannot be changed: kubelet would be locked out at its next login.
 * Throws Problem.
 */
export const requireFreeChap = ({ metadata, spec }: VolumeResource): void => {
  const { claimRef, chapSecretRef } = spec;
  if (chapSecretRef !== undefined) {
    const { namespace, name } = chapSecretRef;
    const words = `who may log in to volume ${metadata.name} is what Secret ${namespace}/${name} says`;
    const next = `change the Secret: kubectl -n ${namespace} edit secret ${name}`;
    throw new Problem('chap-invalid', words, { next });
  }
  if (claimRef === undefined && spec.chap !== true) return;
  const how = spec.chap === true ? 'by the Secret that was made for it' : 'without CHAP';
  const words = `kubelet logs in to volume ${metadata.name} ${how}, as its PersistentVolume says, which cannot be changed: it would be locked out`;
  const next =
    'claim a copy of it by a class with chapSecretName, whose Secret may change (manifests/examples/chap.yaml), and use that';
  throw new Problem('chap-invalid', words, { next });
};

/** What may be copied where and by which class is decided for claims, so a claim has to ask. */
export const noClone = ({ metadata, spec }: VolumeResource, snapshot: string | null): Problem => {
  const { claimRef } = spec;
  if (claimRef === undefined) {
    const words = `volume ${metadata.name} was made for no claim, and in a cluster only what a claim holds is cloned`;
    const next =
      'keep what is to be cloned in a volume that a claim has (kubectl get pvc), and clone that by another claim';
    return new Problem('clone-refused', words, { next });
  }
  const { namespace, name } = claimRef;
  const refs =
    snapshot === null
      ? `dataSourceRef: {kind: PersistentVolumeClaim, name: ${name}}`
      : `dataSourceRef: {apiGroup: openebs.io, kind: OpenEBSSnapshot, name: S}, where S is one of kubectl -n ${namespace} get openebssnapshots`;
  return new Problem('clone-refused', 'in a cluster a clone is made for a claim that asks for it', {
    next: `kubectl -n ${namespace} apply a claim with ${refs}; manifests/examples/clone.yaml has it in full`,
  });
};

const rateEdits = (
  { spec }: VolumeResource,
  bytesPerSecond: number | null,
): readonly JsonPatchOperation[] | null => {
  const path = '/spec/rebuildRate';
  const present = rebuildRateOf(spec);
  if (present === bytesPerSecond) return null;
  if (bytesPerSecond === null) return [{ op: 'remove', path }];
  return [{ op: 'add', path, value: formatQuantity(BigInt(bytesPerSecond)) }];
};

const sizeEdits = (
  { metadata, spec }: VolumeResource,
  sizeBytes: number,
): readonly JsonPatchOperation[] | null => {
  if (spec.claimRef !== undefined) {
    const { namespace, name } = spec.claimRef;
    throw new Problem(
      'size-invalid',
      `volume ${metadata.name} has the size that its claim asks for`,
      {
        next: `kubectl -n ${namespace} patch pvc ${name} -p '{"spec":{"resources":{"requests":{"storage":"${formatQuantity(BigInt(sizeBytes))}"}}}}'`,
      },
    );
  }
  const present = Number(parseQuantity(spec.size));
  if (sizeBytes < present) {
    throw new Problem(
      'size-invalid',
      `the volume has ${formatSize(present)} and cannot shrink: what lies beyond would be lost`,
      { next: 'make a smaller volume and copy what it shall hold' },
    );
  }
  if (sizeBytes === present) return null;
  return [{ op: 'replace', path: '/spec/size', value: formatQuantity(BigInt(sizeBytes)) }];
};
