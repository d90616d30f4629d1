/**
 * Goal: a kernel with iSCSI mounts a claim's volume as kubelet does it, from nothing but what the
 * PersistentVolume and its Secret say; a pod's files are there again on the next node.
 *
 * Method: a real cluster, our chart, a class with CHAP. A virtual machine in software emulation
 * boots Debian's kernel and gives the commands that kubelet gives, to the Service's address, by way
 * of a node; a second one does so after it. No kubelet runs in it: started there, emulated, with a
 * container runtime, it would need longer than the rest of the tests.
 */
import { join } from 'node:path';
import { mkdirSync, readFileSync } from 'node:fs';
import { CLAIMS, CLASSES, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import { SECRETS } from '../../provisioner/src/orchestrator/kubernetes/chap-secret.ts';
import type { Where } from '../../provisioner/src/kubernetes/kube-api.ts';
import { claimOf } from '../cluster/openebs-system.ts';
import { type SharedCluster, theCluster } from '../cluster/the-cluster.ts';
import { removeVolume } from '../cluster/volume-claim.ts';
import { VolumePods } from '../cluster/volume-pods.ts';
import { buildInitramfs } from '../kernel-vm/initramfs.ts';
import { Machine } from '../kernel-vm/machine.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { findKernel } from '../support/debian.ts';

const CLASS = 'mounted';
const READY_MS = 120_000;
const MACHINE_LIMIT_MS = 240_000;
const RULES = ['50-udev-default.rules', '60-persistent-storage.rules'].map((name) =>
  join('/usr/lib/udev/rules.d', name),
);

const STEPS = [
  ['boot', 'boots, and its iscsid answers'],
  ['udev', 'names devices as a Linux distribution does'],
  ['discovery', 'is told the target by SendTargets, with CHAP'],
  ['login', 'logs in with CHAP'],
  ['device', 'finds the disk by its path'],
  ['format', 'formats it if it is empty, and never else'],
  ['mount', 'mounts it'],
  ['pod', 'has the files of the pod'],
  ['detach', 'unmounts it, logs out, and the disk goes'],
  ['end', 'ends in order'],
] as const;

interface IscsiSource {
  readonly targetPortal: string;
  readonly iqn: string;
  readonly secretRef: Where;
}

describe("a claim's volume, mounted as kubelet does it", function () {
  this.timeout(MACHINE_LIMIT_MS);
  this.bail(true);
  let shared: SharedCluster;
  let claim: Claim;
  let name: string;
  let parameters: Record<string, string>;
  let machine: Machine | null = null;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    const { api, cluster } = shared;
    const { apiVersion, kind, provisioner } = await api.get(CLASSES, { name: 'openebs' });
    await api.create(CLASSES, {
      ...{ apiVersion, kind, metadata: { name: CLASS }, provisioner },
      ...{ parameters: { chap: 'true' }, volumeBindingMode: 'Immediate' },
    });
    claim = await api.create(CLAIMS, JSON.parse(claimOf('mounted', '128Mi', CLASS)) as Claim);
    name = `pvc-${claim.metadata.uid ?? ''}`;
    await new VolumePods(api, name).until('ready', READY_MS);
    await cluster.reachServicesBy(cluster.node('node1'));
    const source = (await api.get(VOLUMES, { name })).spec?.iscsi as unknown as IscsiSource;
    const secret = await api.get(SECRETS, source.secretRef);
    const { data } = secret as unknown as { readonly data: Readonly<Record<string, string>> };
    const read = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString();
    parameters = {
      'openebs.portal': source.targetPortal,
      'openebs.iqn': source.iqn,
      'openebs.user': read('node.session.auth.username'),
      'openebs.secret': read('node.session.auth.password'),
    };
  });

  after(async () => {
    await machine?.kill();
  });

  const boot = (turn: 'first' | 'second'): Machine => {
    const kernel = findKernel(REPOSITORY);
    if (kernel === null) {
      throw new Error('there is no kernel: npm test -- --suite kubelet-mount gets it');
    }
    const directory = join(shared.cluster.plane.directory, turn);
    mkdirSync(directory);
    return new Machine({
      kernelImage: kernel.image,
      initramfs: buildInitramfs({
        scenario: join(import.meta.dirname, 'kubelet-steps.sh'),
        tools: ['udevadm', 'blkid', 'mkfs.ext4', 'e2fsck'],
        files: Object.fromEntries(RULES.map((path) => [path, readFileSync(path, 'utf8')])),
        directory,
        modules: kernel.modules,
        initiatorName: `iqn.2004-10.org.debian:${turn}`,
        settings: { 'node.startup': 'manual' },
      }),
      parameters: { ...parameters, 'openebs.turn': turn },
    });
  };

  for (const turn of ['first', 'second'] as const) {
    describe(`on the ${turn} node`, () => {
      before(() => {
        machine = boot(turn);
      });
      after(() => machine?.kill());

      for (const [step, guarantee] of STEPS) {
        it(guarantee, () => machine!.passed(step));
      }
    });
  }

  // A group of its own: mocha runs the tests of a group before the groups in it.
  describe('afterwards', () => {
    it('is freed when the claim is deleted', () => removeVolume(shared.api, claim, name));
  });
});
