/**
 * Goal: who drains one node after another, for an upgrade of the machines, takes no volume away,
 * however fast.
 *
 * Method: `kubectl drain` on the node of a target, and on the next node while the copy of the first
 * one is away, and again when that is back, under a load that checks every answer.
 */
import { expect } from 'chai';
import type { CheckingLoad } from '../crash/checking-load.ts';
import { until } from '../support/until.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { claimVolume, removeVolume, type ClaimedVolume } from './volume-claim.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const IN_SYNC_MS = 120_000;
const SERVING_MS = 60_000;
const BUDGET_MS = 60_000;

describe('a node that is drained', function () {
  this.timeout(240_000);
  let shared: SharedCluster;
  let volume: ClaimedVolume;
  let load: CheckingLoad;
  let first: string;
  let second: string;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    volume = await claimVolume(shared.api, 'drained', SIZE_BYTES);
    load = await volume.disk.keepCalmlyBusy(SIZE_BYTES, 61);
    await until('all copies in sync', () => volume.disk.isWhole(3), IN_SYNC_MS);
    first = await volume.pods.targetNode();
    const { nodes } = shared.cluster;
    second = nodes.find(({ name }) => name !== first)!.name;
    const third = nodes.find(({ name }) => name !== first && name !== second)!;
    await shared.cluster.reachServicesBy(third);
  });

  after(async () => {
    await shared.cluster.kubectl(['uncordon', first, second]);
    volume.disk.close();
    await removeVolume(shared.api, volume.claim, volume.name);
  });

  const drain = (node: string, seconds: number): Promise<string> =>
    shared.cluster.kubectl([
      ...['drain', node, '--ignore-daemonsets', '--delete-emptydir-data'],
      ...['--pod-selector', `openebs.io/persistent-volume=${volume.name}`],
      `--timeout=${seconds}s`,
    ]);

  const replicaOn = async (node: string): Promise<number> =>
    (await volume.pods.of('replica')).filter(({ spec }) => spec?.nodeName === node).length;

  const untilAnswered = async (): Promise<void> => {
    const answered = load.answered;
    await until('answers', () => load.answered > answered + 50, SERVING_MS);
  };

  it('gives its target to another node, and its replica up, while the volume serves', async () => {
    const start = performance.now();
    await drain(first, 60);
    await untilAnswered();
    console.log(`      serving again ${((performance.now() - start) / 1000).toFixed(1)} s later`);
    expect(await volume.pods.targetNode()).not.to.equal(first);
    expect(await replicaOn(first)).to.equal(0);
  });

  it('keeps its replica while another one is away', async () => {
    const refused = await drain(second, 3).catch((error: unknown) => String(error));
    expect(refused).to.include("violate the pod's disruption budget");
    expect(await replicaOn(second)).to.equal(1);
    await untilAnswered();
  });

  it('gives it up when all copies are in sync again, and nothing is lost', async () => {
    await shared.cluster.kubectl(['uncordon', first]);
    await until('three copies in sync', () => volume.disk.isWhole(3), IN_SYNC_MS);
    await drain(second, BUDGET_MS / 1000);
    expect(await replicaOn(second)).to.equal(0);
    await untilAnswered();
    await shared.cluster.kubectl(['uncordon', second]);
    await until('three copies in sync', () => volume.disk.isWhole(3), IN_SYNC_MS);
    await volume.disk.rest(load);
    await volume.disk.verify(load);
  });
});
