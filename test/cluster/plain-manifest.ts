import { join } from 'node:path';
import { REPOSITORY } from '../support/daemons.ts';
import { CHART, SYSTEM_NAMESPACE } from './openebs-system.ts';

/** For who has no helm: generated from the chart, by `npm run manifests`. */
export const PLAIN_MANIFEST = join(REPOSITORY, 'manifests', 'openebs.yaml');

const SECRET = 'create secret generic openebs-control --from-literal token=$(openssl rand -hex 32)';
const HEADER = `# The chart in manifests/chart with its usual values, for who has no helm.
# Generated: npm run manifests.
#
#   kubectl apply --server-side -f manifests/openebs.yaml
#   kubectl -n ${SYSTEM_NAMESPACE} ${SECRET}
#
# Orders to targets are taken from who has that token; neither the provisioner nor targets start
# before it is there.
---
apiVersion: v1
kind: Namespace
metadata:
  name: ${SYSTEM_NAMESPACE}
  labels:
    # Replicas use directories of their nodes; all others need no more than "restricted".
    pod-security.kubernetes.io/enforce: privileged
`;

export const renderPlainManifest = async (
  helm: (args: readonly string[]) => Promise<string>,
): Promise<string> => {
  const rendered = await helm([
    ...['template', 'openebs', CHART, '--namespace', SYSTEM_NAMESPACE, '--include-crds'],
  ]);
  const documents = rendered
    .split(/^---\n/m)
    .map((document) => document.replace(/^# Source: .*\n/, '').trim())
    // A token that everybody can read here would be none.
    .filter((document) => document !== '' && !/^kind: Secret$/m.test(document));
  return `${HEADER}${documents.map((document) => `---\n${document}\n`).join('')}`;
};
