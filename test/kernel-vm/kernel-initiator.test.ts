/**
 * Goal: the Linux kernel's own initiator, with iscsid and iscsiadm as Debian ships them, keeps file
 * systems on a replicated volume; nothing is lost when target and replicas are killed under it.
 *
 * Method: a virtual machine in software emulation boots Debian's kernel and goes through
 * file-systems.sh; each step of that scenario is a test here. Its network is QEMU's user mode:
 * 10.0.2.2 is this host's loopback.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { findKernel } from '../support/debian.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { freePort } from '../support/free-port.ts';
import type { ReplicatedVolume } from '../support/replicated-volume.ts';
import { runTool } from '../support/tool.ts';
import { useVolume } from '../support/volume-fixture.ts';
import { buildInitramfs } from './initramfs.ts';
import { Machine } from './machine.ts';

const GIB = 2 ** 30;
const USER = 'alice';
const SECRET = 'correct-horse-battery';
const TARGET_USER = 'openebs';
const TARGET_SECRET = 'staple-of-the-target';
/** From its start to its end. Emulated, and on a machine that does other things too. */
const MACHINE_LIMIT_MS = 420_000;
/** How long what was killed is gone in the middle of fio's writes, and what lies between. */
const OUTAGE_MS = 1_000;
const WRITES_BETWEEN_MS = 3_000;
const ALL = ['target', 0, 1, 2] as const;
/** What is killed at once, one after the other, while fio writes. */
const BLOWS: readonly (readonly (typeof ALL)[number][])[] = [
  ['target'],
  [0],
  [1],
  ['target', 2],
  ALL,
];

const STEPS = [
  ['boot', 'the machine boots and its iscsid answers'],
  ['discovery', 'SendTargets, with mutual CHAP, names the target at the advertised portal'],
  ['wrong-secret', 'a wrong CHAP secret is refused'],
  ['login', 'mutual CHAP lets the initiator in, and the disk appears'],
  ['discard', 'what is discarded reads as zeros, and its neighbours stay'],
  ['partition', 'a partition table is kept and read again'],
  ['ext4', 'ext4 is made, mounted and filled'],
  ['xfs', 'XFS is made, mounted and filled, unaligned to the blocks of the volume'],
  ['fio', 'fio reads back what it wrote: 4 KiB, 512 bytes to 256 KiB, 1 MiB'],
  ['fstrim', 'free space of mounted file systems is discarded'],
  ['unmount', 'the disk goes with the log-out'],
  ['digests', 'header and data digests are negotiated'],
  ['compare', 'after a new log-in every file is as it was'],
  [
    'restart',
    'fio writes on and finds all it wrote while target and replicas die in turns and at once; ' +
      'the file system has no fault',
  ],
  [
    'two-sessions',
    'two sessions are two paths to one disk: what one writes the other reads at once',
  ],
  ['lost-path', 'one session lost leaves the other undisturbed'],
  ['end', 'the machine ends in order'],
] as const;

describe("the Linux kernel's initiator", function () {
  this.timeout(MACHINE_LIMIT_MS);
  // What follows a step that failed would fail for the same reason.
  this.bail(true);
  let portal = '';
  const fixture = useVolume(async (directory) => {
    const port = await freePort();
    portal = `10.0.2.2:${port}`;
    const secretFile = `${directory}/secret`;
    const mutualSecretFile = `${directory}/mutual-secret`;
    writeFileSync(secretFile, `${SECRET}\n`, { mode: 0o600 });
    writeFileSync(mutualSecretFile, `${TARGET_SECRET}\n`, { mode: 0o600 });
    return {
      sizeBytes: GIB,
      targetFlags: {
        listen: `127.0.0.1:${port}`,
        portal,
        'chap-user': USER,
        'chap-secret-file': secretFile,
        'mutual-chap-user': TARGET_USER,
        'mutual-chap-secret-file': mutualSecretFile,
      },
    };
  });
  let machine: Machine | null = null;

  before(() => {
    const kernel = findKernel(REPOSITORY);
    if (kernel === null)
      throw new Error('there is no kernel: npm test -- --suite kernel-vm gets it');
    machine = new Machine({
      kernelImage: kernel.image,
      initramfs: buildInitramfs({
        directory: fixture.directory,
        modules: kernel.modules,
        scenario: join(import.meta.dirname, 'file-systems.sh'),
        tools: ['mkfs.ext4', 'e2fsck', 'mkfs.xfs', 'fio'],
        initiatorName: 'iqn.2004-10.org.debian:kernel-vm',
        settings: {
          'node.startup': 'manual',
          'discovery.sendtargets.auth.authmethod': 'CHAP',
          'discovery.sendtargets.auth.username': USER,
          'discovery.sendtargets.auth.password': SECRET,
          'discovery.sendtargets.auth.username_in': TARGET_USER,
          'discovery.sendtargets.auth.password_in': TARGET_SECRET,
        },
      }),
      parameters: {
        'openebs.portal': portal,
        'openebs.iqn': fixture.volume.iqn,
        'openebs.user': USER,
        'openebs.secret': SECRET,
        'openebs.target-user': TARGET_USER,
        'openebs.target-secret': TARGET_SECRET,
      },
    });
  });

  after(async () => {
    await machine?.kill();
  });

  for (const [name, guarantee] of STEPS) {
    it(guarantee, async () => {
      if (name === 'restart') await strikeDuringWrites(machine!, fixture.volume);
      await machine!.passed(name);
    });
  }

  it('leaves a healthy volume behind, its replicas byte by byte the same', async () => {
    await fixture.volume.untilHealthy();
    await fixture.volume.stop();
    const images = [0, 1, 2].map((index) => fixture.volume.imagePath(index));
    // An image may be longer than the volume; what lies behind is not data.
    for (const image of images.slice(1))
      await runTool('cmp', [`--bytes=${GIB}`, images[0]!, image]);
  });
});

async function strikeDuringWrites(machine: Machine, volume: ReplicatedVolume): Promise<void> {
  await machine.begun('restart');
  for (const parts of BLOWS) {
    // Not a wait for something: the outage shall come in the middle of the writes, and last.
    await pause(WRITES_BETWEEN_MS);
    // The next one finds three copies, whichever parts it strikes.
    await volume.untilHealthy();
    await Promise.all(
      parts.map(async (part) => {
        await (part === 'target' ? volume.target : volume.replicas[part])?.daemon.kill9();
      }),
    );
    await pause(OUTAGE_MS);
    await volume.start();
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
