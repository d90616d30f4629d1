/**
 * Goal: a node that is cut off, and whose pods run on, does no harm: its target answers nothing
 * while the volume is served elsewhere, and when the cable is in again its copy is brought up to
 * date.
 *
 * Method: the cable of the target's node is pulled under a load that checks every answer. An
 * initiator on that node, which still reaches the old target, asks it.
 */
import { join } from 'node:path';
import { expect } from 'chai';
import { iqnOf } from '../../provisioner/src/orchestrator/kubernetes/names.ts';
import type { CheckingLoad } from '../crash/checking-load.ts';
import { until } from '../support/until.ts';
import type { ClusterNode } from './cluster-node.ts';
import { SYSTEM_NAMESPACE } from './openebs-system.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { claimVolume, removeVolume, type ClaimedVolume } from './volume-claim.ts';
import type { Pod } from './volume-pods.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const SERVING_MS = 120_000;
const IN_SYNC_MS = 120_000;
const INITIATOR = join(import.meta.dirname, 'cut-off-initiator.ts');

describe('a node that is cut off', function () {
  this.timeout(240_000);
  let shared: SharedCluster;
  let volume: ClaimedVolume;
  let load: CheckingLoad;
  let node: ClusterNode;
  let old: Pod;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    volume = await claimVolume(shared.api, 'cut-off', SIZE_BYTES);
    load = await volume.disk.keepCalmlyBusy(SIZE_BYTES, 63);
    await until('all copies in sync', () => volume.disk.isWhole(3), IN_SYNC_MS);
    const { cluster } = shared;
    node = cluster.node(await volume.pods.targetNode());
    old = (await volume.pods.of('target'))[0]!;
    await cluster.reachServicesBy(cluster.nodes.find((each) => each !== node)!);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    const { cluster } = shared;
    const ask = (...args: string[]): Promise<string> =>
      cluster.kubectl(['-n', SYSTEM_NAMESPACE, ...args]);
    console.log(await ask('get', 'pods', '-o', 'wide'));
    const target = `openebs.io/persistent-volume=${volume.name},openebs.io/component=target`;
    console.log(await ask('logs', '-l', target, '--tail=60', '--prefix', '--timestamps'));
    console.log(await ask('get', 'events', '--sort-by=.lastTimestamp'));
  });

  after(async () => {
    await node.heal();
    volume.disk.close();
    await removeVolume(shared.api, volume.claim, volume.name);
  });

  it('answers nothing for a volume that is served elsewhere', async () => {
    await node.cut();
    const cut = performance.now();
    await until('a load that is held up', () => !volume.disk.isOpen, SERVING_MS);
    const { answered } = load;
    await until('answers of the new target', () => load.answered > answered + 50, SERVING_MS);
    console.log(
      `      used again ${((performance.now() - cut) / 1000).toFixed(1)} s after the cut`,
    );
    expect(await volume.pods.targetNode()).not.to.equal(node.name);
    const asked = [
      process.execPath,
      INITIATOR,
      old.status?.podIP ?? '',
      '3260',
      iqnOf(volume.name),
    ];
    const { stdout } = await node.exec(asked, { timeoutMs: 60_000 });
    console.log(`      the old target: ${stdout.trim()}`);
    expect(stdout).to.match(/^(held|refused):/);
  });

  it('is a member in sync again when its cable is in', async () => {
    const healed = performance.now();
    const { cluster } = shared;
    await node.heal();
    await until('three copies in sync', () => volume.disk.isWhole(3), IN_SYNC_MS);
    console.log(`      in sync ${((performance.now() - healed) / 1000).toFixed(1)} s after`);
    const gone = ['wait', '--for=delete', `pod/${old.metadata.name}`, '--timeout=90s'];
    await cluster.kubectl(['-n', SYSTEM_NAMESPACE, ...gone]);
    // It has not taken the volume back, and been replaced once more.
    expect(await volume.pods.restarts('target')).to.equal(0);
    await volume.disk.rest(load);
    await volume.disk.verify(load);
  });
});
