/**
 * Goal: neither an upgrade nor the end of a release costs anybody data, and nothing hangs after it.
 *
 * Method: the release that the other tests use is upgraded, uninstalled and installed again under a
 * volume that is in use, as helm does it for a user.
 */
import { expect } from 'chai';
import { CLAIMS, VOLUMES } from '../../provisioner/src/claims/contract.ts';
import { SNAPSHOT_FINALIZER, SNAPSHOTS } from '../../provisioner/src/claims/snapshot-resource.ts';
import { until } from '../support/until.ts';
import {
  IMAGE,
  RELEASE_VALUES,
  SYSTEM_NAMESPACE,
  helmInstall,
  helmUpgrade,
} from './openebs-system.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { claimVolume, untilFreed, type ClaimedVolume } from './volume-claim.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const BLOCK = Buffer.alloc(4096, 'kept');
const SNAPSHOT = { namespace: 'default', name: 'kept' };
const GONE_MS = 60_000;
const ROLLED_MS = 180_000;

describe('a release of the chart', function () {
  this.timeout(300_000);
  let shared: SharedCluster;
  let volume: ClaimedVolume;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    volume = await claimVolume(shared.api, 'kept', SIZE_BYTES);
    await (await volume.disk.open()).write(0, BLOCK);
  });

  afterEach(() => volume.disk.close());

  const ask = (...args: string[]): Promise<string> =>
    shared.cluster.kubectl(['-n', SYSTEM_NAMESPACE, ...args]);
  const token = (): Promise<string> =>
    ask('get', 'secret', 'openebs-control', '-o', 'jsonpath={.data.token}');

  it('is upgraded without touching the volumes that it has made', async () => {
    const before = await token();
    const pods = await volume.pods.names();
    await helmUpgrade(shared.cluster, { ...RELEASE_VALUES, 'provisioner.logLevel': 'debug' });
    expect(await ask('get', 'deploy', 'openebs-provisioner', '-o', 'yaml')).to.include('- debug');
    expect(await token()).to.equal(before);
    expect(await volume.pods.names()).to.deep.equal(pods);
    expect(await (await volume.disk.open()).read(0, 4096)).to.deep.equal(BLOCK);
  });

  it('starts the pods of a volume anew for a new image, one at a time, while it serves', async () => {
    const { cluster } = shared;
    const next = IMAGE.replace(/:.*/, ':next');
    const ctr = cluster.plane.program('ctr');
    const tag = [ctr, '--namespace', 'k8s.io', 'images', 'tag', IMAGE, next];
    await Promise.all(cluster.nodes.map((node) => node.exec(tag)));
    await (await volume.disk.open()).write(0, Buffer.alloc(BLOCK.length));
    const load = await volume.disk.keepCalmlyBusy(SIZE_BYTES, 62);
    const start = performance.now();
    await helmUpgrade(cluster, { ...RELEASE_VALUES, 'image.tag': 'next' });
    let least = 3;
    await until(
      'all pods of the new image',
      async () => {
        least = Math.min(least, (await volume.disk.copiesInSync()) ?? 3);
        const images = (await volume.pods.ready()).map(({ spec }) => spec?.containers?.[0]?.image);
        return images.length === 4 && images.every((image) => image?.endsWith(':next'));
      },
      ROLLED_MS,
    );
    console.log(`      ${((performance.now() - start) / 1000).toFixed(1)} s for four pods`);
    await until('three copies in sync', () => volume.disk.isWhole(3), GONE_MS);
    expect(least).to.equal(2);
    await volume.disk.rest(load);
    await volume.disk.verify(load);
    await (await volume.disk.open()).write(0, BLOCK);
  });

  it('leaves volumes serving when it is uninstalled, also when their pods start anew', async () => {
    const { api, cluster } = shared;
    await api.create(SNAPSHOTS, {
      apiVersion: SNAPSHOTS.apiVersion,
      kind: SNAPSHOTS.kind,
      metadata: SNAPSHOT,
      spec: { claim: 'kept' },
    });
    const isTaken = async (): Promise<boolean> =>
      (await api.get(SNAPSHOTS, SNAPSHOT)).status?.ready === true;
    await until('a snapshot', isTaken, GONE_MS);
    await cluster.helm(['uninstall', 'openebs', '--namespace', SYSTEM_NAMESPACE, '--wait']);
    volume.disk.close();
    const [target] = await volume.pods.of('target');
    await ask('delete', 'pod', target!.metadata.name);
    await volume.pods.until('ready', GONE_MS);
    await until(
      'the data',
      async () => {
        const disk = await volume.disk.open().catch(() => null);
        return disk !== null && BLOCK.equals(await disk.read(0, 4096));
      },
      GONE_MS,
    );
  });

  it('frees, when it is installed again, what was given up meanwhile', async () => {
    const { api, cluster } = shared;
    await api.remove(CLAIMS, volume.claim.metadata);
    await until(
      'a claim that does not hang',
      async () => !(await api.list(CLAIMS)).items.some(({ metadata }) => metadata.name === 'kept'),
      GONE_MS,
    );
    await until(
      'a released volume',
      async () => (await api.get(VOLUMES, { name: volume.name })).status?.phase === 'Released',
      GONE_MS,
    );
    // Nobody is there who could make it go, and it keeps its finalizer until somebody is.
    await api.remove(SNAPSHOTS, SNAPSHOT);
    const { deletionTimestamp, finalizers } = (await api.get(SNAPSHOTS, SNAPSHOT)).metadata;
    expect(deletionTimestamp).to.be.a('string');
    expect(finalizers).to.deep.equal([SNAPSHOT_FINALIZER]);
    await helmInstall(cluster, RELEASE_VALUES);
    await untilFreed(api, volume.name);
    await until(
      'the end of the snapshot',
      async () => (await api.list(SNAPSHOTS)).items.length === 0,
      GONE_MS,
    );
  });
});
