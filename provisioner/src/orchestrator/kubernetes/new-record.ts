import { formatQuantity } from '../../kubernetes/quantity.ts';
import { Problem } from '../../problem.ts';
import type { VolumeSpec } from '../orchestrator.ts';
import { controllerServiceName, labelsOf } from './names.ts';
import { RECORD_FINALIZER, VOLUME_RESOURCES, type VolumeResource } from './volume-resource.ts';

const IDEMPOTENCY_KEY = 'openebs.io/idempotency-key';
/** Of a Service's name (RFC 1123). */
const MAX_SERVICE_NAME = 63;

/** The record of a volume that a person makes, not a claim; its members are chosen from it. */
export const newRecord = (
  { name, sizeBytes, replicas }: VolumeSpec,
  namespace: string,
  idempotencyKey: string | null,
): VolumeResource => {
  const most = MAX_SERVICE_NAME - controllerServiceName('').length;
  if (name.length > most) {
    const words = `in a cluster the name of a volume has at most ${most} characters`;
    throw new Problem('name-invalid', words);
  }
  const record: VolumeResource = {
    apiVersion: VOLUME_RESOURCES.apiVersion,
    kind: VOLUME_RESOURCES.kind,
    metadata: { namespace, name, finalizers: [RECORD_FINALIZER] },
    spec: {
      size: formatQuantity(BigInt(sizeBytes)),
      replicas,
      pool: 'default',
      topologyKey: 'kubernetes.io/hostname',
      monitored: false,
      members: [],
    },
  };
  const annotations = idempotencyKey === null ? {} : { [IDEMPOTENCY_KEY]: idempotencyKey };
  const metadata = { ...record.metadata, labels: labelsOf(record, 'volume'), annotations };
  return { ...record, metadata };
};

export const idempotencyKeyOf = ({ metadata }: VolumeResource): string | null =>
  metadata.annotations?.[IDEMPOTENCY_KEY] ?? null;
