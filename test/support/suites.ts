/**
 * What `npm test` runs, in this order: the cheap and general first, the machine that boots a kernel
 * last.
 */
import { existsSync, globSync } from 'node:fs';

import type { Requirement } from './debian.ts';
import { missingPrograms } from '../cluster/programs.ts';
import { NODE_TOOLS } from '../cluster/requirements.ts';
import type { Reporter } from './suite-process.ts';

export interface Command {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
}

interface CommonSuite {
  readonly name: string;
  readonly about: string;
  /**
   * After this long the suite is stuck, whatever the machine: what runs is said, and it is killed.
   */
  readonly limitSeconds: number;
  readonly needs: readonly Requirement[];
  /** Nothing of it can reach another machine: where it runs as root it has a network of its own. */
  readonly ownNetwork?: boolean;
  /** Runs only where it is named, for the reason that `about` gives. */
  readonly onRequest?: boolean;
  /** It leaves a processor idle: it runs beside its neighbours that say the same here. */
  readonly beside?: string;
  /** Where it can run, when not everywhere. */
  readonly architecture?: NodeJS.Architecture;
  /** What it needs that Debian does not have, in words; null: it is there. Else it is skipped. */
  readonly lacks?: () => string | null;
}

/** Commands that pass or fail as a whole, and count as one test together. */
export interface CommandSuite extends CommonSuite {
  readonly kind: 'commands';
  readonly commands: readonly Command[];
}

export interface MochaSuite extends CommonSuite {
  readonly kind: 'mocha';
  readonly files: string;
  readonly reporter: Reporter;
  /** Of one test, unless it asks for another. */
  readonly testTimeoutMs: number;
}

export type Suite = CommandSuite | MochaSuite;

const LIBISCSI: Requirement = { command: 'iscsi-test-cu', packages: ['libiscsi-bin'] };
const QEMU_IMG: Requirement = { command: 'qemu-img', packages: ['qemu-utils'] };
const QEMU_ISCSI: Requirement = {
  file: '/usr/lib/*/qemu/block-iscsi.so',
  packages: ['qemu-block-extra'],
};
const GCC: readonly Requirement[] = [
  { command: 'gcc', packages: ['gcc'] },
  { file: '/usr/include/stdlib.h', packages: ['libc6-dev'] },
];
const IPROUTE: readonly Requirement[] = [{ command: 'ip', packages: ['iproute2'] }];
const DOCKER: readonly Requirement[] = [
  { command: 'dockerd', packages: ['docker.io'] },
  { command: 'busybox', packages: ['busybox-static'] },
  ...IPROUTE,
];
const MACHINE: readonly Requirement[] = [
  { command: 'qemu-system-x86_64', packages: ['qemu-system-x86'] },
  { command: 'iscsiadm', packages: ['open-iscsi'] },
  { file: '/bin/busybox', packages: ['busybox-static'] },
  { command: 'cpio', packages: ['cpio'] },
  { kernel: 'linux-image-cloud-amd64' },
];
const FILE_SYSTEMS: readonly Requirement[] = [
  { command: 'mkfs.ext4', packages: ['e2fsprogs'] },
  { command: 'mkfs.xfs', packages: ['xfsprogs'] },
  { command: 'fio', packages: ['fio'] },
  { command: 'blkdiscard', packages: ['util-linux'] },
];
const UDEV: readonly Requirement[] = [{ command: 'udevadm', packages: ['udev'] }];

const POSTGRES: readonly Requirement[] = [
  { file: '/usr/lib/postgresql/*/bin/pgbench', packages: ['postgresql'] },
  { command: 'qemu-storage-daemon', packages: ['qemu-system-common'] },
  QEMU_ISCSI,
  { command: 'mkfs.ext4', packages: ['e2fsprogs'] },
  { command: 'losetup', packages: ['mount'] },
];

/** What a file system on a volume takes where the kernel has no iSCSI. */
const lacksMounts = (): string | null => {
  if (process.getuid?.() !== 0)
    return 'mounting a volume needs root:\n  sudo npm test -- --suite postgres';
  const lacking = ['/dev/fuse', '/dev/loop-control'].filter((device) => !existsSync(device));
  return lacking.length === 0 ? null : `this machine has no ${lacking.join(' and no ')}`;
};

const crossProcess = (
  name: string,
  about: string,
  limitSeconds: number,
  needs: readonly Requirement[] = [],
): MochaSuite => ({
  kind: 'mocha',
  name,
  about,
  limitSeconds,
  needs,
  files: `test/${name}/**/*.test.ts`,
  reporter: 'spec',
  testTimeoutMs: 60_000,
});

const node = process.execPath;

export const SUITES: readonly Suite[] = [
  {
    kind: 'commands',
    name: 'lint',
    beside: 'sources',
    about: 'eslint with type information, and prettier',
    limitSeconds: 300,
    needs: [],
    commands: [
      { name: 'eslint', file: node, args: ['node_modules/eslint/bin/eslint.js', '.'] },
      {
        name: 'prettier',
        file: node,
        args: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'],
      },
    ],
  },
  {
    kind: 'commands',
    name: 'types',
    beside: 'sources',
    about: 'the type checker',
    limitSeconds: 180,
    needs: [],
    commands: [{ name: 'tsc', file: node, args: ['node_modules/typescript/bin/tsc', '--noEmit'] }],
  },
  {
    kind: 'mocha',
    name: 'tidy',
    beside: 'sources',
    about: 'import directions, sizes, banned words, links',
    limitSeconds: 60,
    needs: [],
    files: 'test/tidy.test.ts',
    reporter: 'spec',
    testTimeoutMs: 20_000,
  },
  {
    kind: 'mocha',
    name: 'unit',
    beside: 'sources',
    about: 'codecs and state machines, beside their sources, and the tests of the test tools',
    limitSeconds: 300,
    needs: [],
    files:
      '{{{replica,target,provisioner}/src/**,test/{support,initiator,bench}}/*,test/soak/judge}.test.ts',
    reporter: 'dot',
    testTimeoutMs: 20_000,
  },
  {
    kind: 'mocha',
    name: 'simulation',
    about: 'whole volumes under simulated faults: one by one, and by some hundred seeds',
    limitSeconds: 420,
    needs: [],
    files: 'test/{simulator,replicator}/*.test.ts',
    reporter: 'spec',
    testTimeoutMs: 60_000,
  },
  crossProcess(
    'replica',
    'one replica daemon, and everything that can go wrong with its disk',
    240,
  ),
  { ...crossProcess('replication', 'a target and its replicas', 360), beside: 'replicas' },
  {
    ...crossProcess('integrity', 'rot planted in files: found, repaired, reported', 360),
    beside: 'replicas',
  },
  {
    ...crossProcess('snapshots', 'snapshots of real replicas, under load and under fire', 300),
    beside: 'replicas',
  },
  {
    ...crossProcess('clones', 'volumes made of snapshots of others, which go on', 300),
    beside: 'replicas',
  },
  {
    ...crossProcess('local', 'npm start: the API server, mayactl and the demo volume', 480),
    beside: 'initiators',
  },
  {
    ...crossProcess('qemu', "QEMU's iSCSI driver", 300, [QEMU_IMG, QEMU_ISCSI]),
    beside: 'initiators',
  },
  {
    ...crossProcess('postgres', 'a database on a volume, and everything killed', 420, POSTGRES),
    beside: 'initiators',
    lacks: lacksMounts,
  },
  {
    ...crossProcess('conformance', "libiscsi's conformance suite, all of it", 420, [LIBISCSI]),
    beside: 'initiators',
  },
  {
    ...crossProcess('cluster', 'a real Kubernetes, with real nodes', 1200, NODE_TOOLS),
    beside: 'long',
    ownNetwork: true,
    lacks: missingPrograms,
  },
  { ...crossProcess('crash', 'kill -9 under a checking load', 1200), beside: 'long' },
  {
    ...crossProcess('power-loss', 'machines that lose their power', 480, GCC),
    beside: 'long',
  },
  {
    ...crossProcess('disk-faults', 'disks that are full, hang, or fail', 480, GCC),
    beside: 'faults',
  },
  {
    ...crossProcess('partition', 'networks that are cut, and two targets at once', 480, IPROUTE),
    beside: 'faults',
  },
  {
    // Its figures are those of a machine that does nothing else.
    ...crossProcess('soak', 'the memory of every daemon under changing load', 300, GCC),
    onRequest: true,
  },
  crossProcess('hostile', 'mutated PDUs and frames against live daemons', 480),
  {
    // It takes minutes, and Debian's package would start a daemon on the machine of a user.
    ...crossProcess('docker', 'the Dockerfile, with a Docker Engine of its own', 1200, DOCKER),
    ownNetwork: true,
    onRequest: true,
  },
  {
    ...crossProcess('connect', 'the commands of `mayactl volume connect`, as it prints them', 300, [
      ...[LIBISCSI, QEMU_IMG, QEMU_ISCSI, ...MACHINE, ...UDEV],
    ]),
    beside: 'machines',
    // The machine's programs are copied from this host.
    architecture: 'x64',
  },
  {
    ...crossProcess('kernel-vm', "the Linux kernel's own initiator, in a machine", 480, [
      ...[...MACHINE, ...FILE_SYSTEMS],
    ]),
    beside: 'machines',
    architecture: 'x64',
  },
  {
    ...crossProcess('kubelet-mount', "what kubelet does with a claim's volume, in a machine", 480, [
      ...[...NODE_TOOLS, ...MACHINE, ...FILE_SYSTEMS, ...UDEV],
    ]),
    beside: 'machines',
    ownNetwork: true,
    lacks: missingPrograms,
    architecture: 'x64',
  },
];

export function filesOf(suite: MochaSuite, root: string): string[] {
  return globSync(suite.files, {
    cwd: root,
    exclude: (name) => name === 'node_modules',
  })
    .sort()
    .map((file) => `${root}/${file}`);
}
