/**
 * Goal: what a user does on Kubernetes works from end to end: a claim becomes a volume that takes
 * writes; it is used again soon after the node of its target loses its power, and nothing that was
 * acknowledged is lost; it heals when the node comes back; and it leaves nothing when it goes.
 *
 * Method: three real nodes, our image, our chart. An initiator outside of all pods reaches the
 * volume at the address that its PersistentVolume names, by way of a node, as a kubelet would; a
 * load that checks every answer goes on through all of it.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { CLAIMS, type Claim } from '../../provisioner/src/claims/contract.ts';
import { CheckingLoad } from '../crash/checking-load.ts';
import { Random } from '../support/random.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { runTool } from '../support/tool.ts';
import { until } from '../support/until.ts';
import type { ClusterNode } from './cluster-node.ts';
import { SYSTEM_NAMESPACE, claimOf } from './openebs-system.ts';
import type { PersistentDisk } from './persistent-disk.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { diskOf, removeVolume } from './volume-claim.ts';
import { VolumePods } from './volume-pods.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const POOL = 'openebs';
const MAYACTL = join(REPOSITORY, 'provisioner', 'bin', 'mayactl.js');
const LIMIT_BYTES = 32 * 1024 * 1024;
const LIMITED_MS = 60_000;
const BOUND_MS = 60_000;
const SERVING_MS = 120_000;
const NOT_READY_MS = 60_000;
/** From the node being NotReady; with a wide margin for a machine that is busy otherwise. */
const FAILOVER_MS = 60_000;
const IN_SYNC_MS = 180_000;

const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1);

describe('a claim on three nodes', function () {
  this.timeout(300_000);
  let shared: SharedCluster;
  let claim: Claim;
  let pods: VolumePods;
  let opened: PersistentDisk | null = null;
  const disk = (): PersistentDisk => opened!;
  let load: CheckingLoad;
  let lost: ClusterNode;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(51) });
    load.calm = true;
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    // What it has seen may be the cause.
    await opened?.rest(load).catch((error: unknown) => console.log(error));
    console.log(await shared.cluster.kubectl(['get', 'pods', '-A', '-o', 'wide']));
    console.log(await shared.cluster.kubectl(['get', 'events', '-A']));
  });

  after(() => opened?.close());

  it('becomes a volume that takes writes at the address of its Service', async () => {
    const { api, cluster } = shared;
    const start = performance.now();
    const created = JSON.parse(claimOf('orders', String(SIZE_BYTES))) as Claim;
    claim = await api.create(CLAIMS, created);
    const { uid = '' } = claim.metadata;
    const name = `pvc-${uid}`;
    pods = new VolumePods(api, name);
    const bound = until(
      'a bound claim',
      async () => (await api.get(CLAIMS, claim.metadata)).status?.phase === 'Bound',
      BOUND_MS,
    ).then(() => seconds(start));
    const scheduled = pods.until('scheduled', SERVING_MS).then(() => seconds(start));
    const started = pods.until('started', SERVING_MS).then(() => seconds(start));
    await bound;
    await pods.until('ready', SERVING_MS);
    const serving = seconds(start);
    opened = await diskOf(api, name);
    lost = cluster.node(await pods.targetNode());
    await cluster.reachServicesBy(cluster.nodes.find((node) => node !== lost)!);
    await (await disk().open()).write(0, Buffer.alloc(4096));
    console.log(
      `      claim to bound ${await bound} s, all pods scheduled ${await scheduled} s, started ` +
        `${await started} s, target ready ${serving} s, first acknowledged write ${seconds(start)} s`,
    );
    const stamps = await load.stamps(await disk().open());
    load.startOver(stamps);
  });

  it('copies no more in a second than mayactl says', async () => {
    const { plane } = shared.cluster;
    const volume = `pvc-${claim.metadata.uid ?? ''}`;
    const limit = ['volume', 'set-rebuild-rate', volume, '--limit', '32MiB'];
    await runTool(process.execPath, [MAYACTL, '--kubeconfig', plane.kubeconfig, ...limit]);
    const isLimited = async (): Promise<boolean> => (await disk().rebuildLimit()) === LIMIT_BYTES;
    await until('a target that knows the limit', isLimited, LIMITED_MS);
  });

  it('is used again when the node of its target loses its power, and nothing is lost', async () => {
    const { cluster } = shared;
    disk().keepBusy(load);
    await until('a load that is answered', () => load.answered > 200);
    const off = performance.now();
    await lost.powerOff();
    await until('a load that is held up', () => !disk().isOpen, NOT_READY_MS);
    const notReady = cluster
      .kubectl(['wait', '--for=condition=Ready=Unknown', `node/${lost.name}`, '--timeout=60s'])
      .then(() => performance.now());
    const answered = load.answered;
    const again = until(
      'an answer of the new target',
      () => load.answered > answered,
      NOT_READY_MS + FAILOVER_MS,
    ).then(() => performance.now());
    const [noticed, answer] = await Promise.all([notReady, again]);
    const fromOff = ((answer - off) / 1000).toFixed(1);
    const fromNotice = ((answer - noticed) / 1000).toFixed(1);
    console.log(
      `      used again ${fromOff} s after the power went, ${fromNotice} s after NotReady`,
    );
    expect(answer - noticed).to.be.below(FAILOVER_MS);
    expect(await pods.targetNode()).not.to.equal(lost.name);
    expect(await disk().rebuildLimit()).to.equal(LIMIT_BYTES);
    await disk().rest(load);
    await disk().verify(load);
  });

  it('has all copies in sync again when that node is back', async () => {
    disk().keepBusy(load);
    const on = performance.now();
    await lost.powerOn();
    await until('three copies in sync', () => disk().isWhole(3), IN_SYNC_MS);
    console.log(`      all copies in sync ${seconds(on)} s after the power came`);
    await disk().rest(load);
    await disk().verify(load);
  });

  it('leaves nothing on the nodes when it is deleted', async () => {
    const { api, cluster } = shared;
    disk().close();
    const name = `pvc-${claim.metadata.uid ?? ''}`;
    const folders = cluster.nodes.map((node) => join(node.disk, POOL, name));
    expect(folders.filter((folder) => existsSync(folder))).to.have.length(3);
    await removeVolume(api, claim, name);
    const kept = cluster.nodes.flatMap((node) => readdirSync(join(node.disk, POOL)));
    expect(kept).to.deep.equal([]);
    const rest = await cluster.kubectl([
      ...['-n', SYSTEM_NAMESPACE, 'get', 'ov,deploy,service,pdb,job', '-o', 'name'],
    ]);
    expect(rest).not.to.include(name);
  });
});
