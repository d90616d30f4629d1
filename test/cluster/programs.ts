import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const NEEDED: readonly string[] = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kubectl',
  'helm',
];

/** As controller-runtime's envtest: where its programs are, or where setup-envtest puts them. */
export const findPrograms = (): string | null => {
  const places = [
    process.env['KUBEBUILDER_ASSETS'],
    '/usr/local/kubebuilder/bin',
    join(homedir(), '.cache', 'openebs-test', 'kubernetes'),
  ];
  const complete = (place: string): boolean =>
    NEEDED.every((program) => existsSync(join(place, program)));
  return places.find((place) => place !== undefined && complete(place)) ?? null;
};

/** Null: they are there. Else what a person can do. */
export const missingPrograms = (): string | null =>
  findPrograms() === null
    ? `it needs ${NEEDED.join(', ')} in the folder that KUBEBUILDER_ASSETS names: setup-envtest use --bin-dir DIR (with kube-controller-manager of the same release, and helm, beside them)`
    : null;
