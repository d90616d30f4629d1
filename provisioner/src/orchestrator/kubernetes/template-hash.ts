import { createHash } from 'node:crypto';
import type { KubeObject } from '../../kubernetes/objects.ts';

/**
 * On a Deployment: what its pods were made from, so that a change is seen without a comparison with
 * what the API server has filled in.
 */
export const TEMPLATE_HASH = 'openebs.io/template-hash';

export const withTemplateHash = (deployment: KubeObject): KubeObject => {
  const { metadata, spec } = deployment as KubeObject & { spec: { template: unknown } };
  const hash = createHash('sha256').update(JSON.stringify(spec.template)).digest('hex');
  const annotations = { ...metadata.annotations, [TEMPLATE_HASH]: hash.slice(0, 16) };
  return { ...deployment, metadata: { ...metadata, annotations } };
};

/** Whether applying what is desired may start its pod anew. */
export const isOutdated = (desired: KubeObject, live: KubeObject): boolean =>
  desired.metadata.annotations?.[TEMPLATE_HASH] !== live.metadata.annotations?.[TEMPLATE_HASH];
