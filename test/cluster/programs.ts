import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findCommand } from '../support/debian.ts';

/** One program that acts as the one by whose name it is called. */
const KUBERNETES: readonly string[] = [
  ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl', 'helm'],
  ...['kubelet', 'kube-proxy', 'coredns'],
];

const CONTAINERD = 'github.com/containerd/containerd/v2';
const PLUGINS = 'github.com/containernetworking/plugins/plugins';

/** What a node runs pods with: the program, and the package that it is built from. */
const CONTAINERS: Readonly<Record<string, string>> = {
  containerd: `${CONTAINERD}/cmd/containerd`,
  'containerd-shim-runc-v2': `${CONTAINERD}/cmd/containerd-shim-runc-v2`,
  ctr: `${CONTAINERD}/cmd/ctr`,
  'cni/ptp': `${PLUGINS}/main/ptp`,
  'cni/loopback': `${PLUGINS}/main/loopback`,
  'cni/host-local': `${PLUGINS}/ipam/host-local`,
  'cni/portmap': `${PLUGINS}/meta/portmap`,
  pause: './pause',
};
const RUNC = 'github.com/opencontainers/runc';

const NEEDED: readonly string[] = [...KUBERNETES, ...Object.keys(CONTAINERS), 'runc'];
const SOURCES = join(import.meta.dirname, 'programs');
const CACHE = join(homedir(), '.cache', 'openebs-test', 'kubernetes');

/** As controller-runtime's envtest: where its programs are. Else where they were built before. */
export const findPrograms = (): string | null => {
  const places = [process.env['KUBEBUILDER_ASSETS'], CACHE];
  const complete = (place: string): boolean =>
    NEEDED.every((program) => existsSync(join(place, program)));
  return places.find((place) => place !== undefined && complete(place)) ?? null;
};

/**
 * Null: they are there, found or built (once, in ten minutes or so). Else what a person can do.
 */
export const missingPrograms = (): string | null => {
  if (findPrograms() !== null) return null;
  const absent = [
    ...(findCommand('go') === null ? ['go (1.25 or later, https://go.dev/dl)'] : []),
    ...(findCommand('gcc') === null ? ['gcc'] : []),
    ...(findCommand('pkg-config') === null ? ['pkg-config'] : []),
    ...(existsSync('/usr/include/seccomp.h') ? [] : ['libseccomp-dev']),
  ];
  if (absent.length > 0)
    return (
      'it builds Kubernetes and containerd for itself, once; for that install ' +
      `${absent.join(', ')},\n  or name a folder in KUBEBUILDER_ASSETS that has ${NEEDED.join(' ')}`
    );
  return buildPrograms();
};

/** Into the cache. Null: done. */
const buildPrograms = (): string | null => {
  process.stdout.write(`building Kubernetes and containerd into ${CACHE}: ten minutes, once\n`);
  const kubernetes = /k8s\.io\/kubernetes (v\S+)/.exec(
    readFileSync(join(SOURCES, 'kubernetes', 'go.mod'), 'utf8'),
  )?.[1];
  const versions = [
    ...['-X', `k8s.io/component-base/version.gitVersion=${kubernetes ?? ''}`],
    ...['-X', `k8s.io/component-base/version.gitMajor=1`],
    ...['-X', `k8s.io/component-base/version.gitMinor=${kubernetes?.split('.')[1] ?? ''}`],
  ].join(' ');
  const failed =
    build('kubernetes', 'kt', '.', versions) ??
    Object.entries(CONTAINERS).reduce<string | null>(
      (before, [program, from]) => before ?? build('containers', program, from),
      null,
    ) ??
    build('runc', 'runc', RUNC);
  if (failed !== null) return failed;
  for (const name of KUBERNETES) {
    if (!existsSync(join(CACHE, name))) symlinkSync('kt', join(CACHE, name));
  }
  return null;
};

const build = (module: string, program: string, from: string, flags = ''): string | null => {
  const isRunc = program === 'runc';
  const args = [
    ...['build', '-trimpath', '-buildvcs=false', '-modcacherw'],
    // runc asks the C library for the rules of seccomp; it then has to be in the program.
    ...(isRunc ? ['-tags', 'netgo,osusergo,seccomp'] : ['-tags', 'no_btrfs']),
    ...['-ldflags', `-s -w ${flags} ${isRunc ? '-extldflags -static' : ''}`],
    ...['-o', join(CACHE, program), from],
  ];
  const { status } = spawnSync(findCommand('go') ?? 'go', args, {
    cwd: join(SOURCES, module),
    env: { ...process.env, CGO_ENABLED: isRunc ? '1' : '0' },
    stdio: 'inherit',
  });
  return status === 0 ? null : `go ${args.join(' ')} failed: see its messages above`;
};
