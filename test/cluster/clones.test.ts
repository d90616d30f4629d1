/**
 * Goal: a claim that names a snapshot, or another claim, becomes a volume that holds what that one
 * held, and goes its own way: whatever is written or deleted later, on either side, the other does
 * not notice, and nothing is left of all of them at the end.
 *
 * Method: three real nodes, our image, our chart; initiators outside of all pods.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { CLAIMS, type Claim } from '../../provisioner/src/claims/contract.ts';
import {
  SNAPSHOTS,
  type SnapshotResource,
} from '../../provisioner/src/claims/snapshot-resource.ts';
import { JOBS } from '../../provisioner/src/orchestrator/kubernetes/pool-job.ts';
import { until } from '../support/until.ts';
import { claimOf, SYSTEM_NAMESPACE } from './openebs-system.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { diskOf, removeVolume } from './volume-claim.ts';
import { VolumePods } from './volume-pods.ts';

const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
const READY_MS = 120_000;
const POOL = 'openebs';
const block = (fill: string): Buffer => Buffer.alloc(4096, fill);
const EMPTY = Buffer.alloc(4096);

const nameOf = ({ metadata }: Claim): string => `pvc-${metadata.uid ?? ''}`;

describe('a clone on three nodes', function () {
  this.timeout(300_000);
  let shared: SharedCluster;
  let origin: Claim;
  const clones: Claim[] = [];

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    const { cluster } = shared;
    console.log(await cluster.kubectl(['get', 'ov,osnap,job,pods', '-A', '-o', 'wide']));
    console.log(await cluster.kubectl(['get', 'events', '-A']));
    const log = ['-n', SYSTEM_NAMESPACE, 'logs', 'deploy/openebs-provisioner', '--tail=50'];
    console.log(await cluster.kubectl(log));
  });

  const claim = async (name: string, spec: object = {}): Promise<Claim> => {
    const { spec: usual, ...made } = JSON.parse(claimOf(name, String(SIZE_BYTES))) as Claim;
    return shared.api.create(CLAIMS, { ...made, spec: { ...usual, ...spec } });
  };

  const serving = (made: Claim): Promise<void> =>
    new VolumePods(shared.api, nameOf(made)).until('ready', READY_MS);

  const write = async (made: Claim, at: number, content: Buffer): Promise<void> => {
    const disk = await diskOf(shared.api, nameOf(made));
    await (await disk.open()).write(at, content);
    disk.close();
  };

  /** The first character of the blocks at 0 and at 1 MiB; `-` for one that is empty. */
  const content = async (made: Claim): Promise<string> => {
    const disk = await diskOf(shared.api, nameOf(made));
    const open = await disk.open();
    const blocks = [await open.read(0, 4096), await open.read(MIB, 4096)];
    disk.close();
    return blocks
      .map((each) => {
        if (each.equals(EMPTY)) return '-';
        const first = each.toString('latin1', 0, 1);
        return each.equals(block(first)) ? first : '?';
      })
      .join('');
  };

  const snapshot = (): Promise<SnapshotResource> =>
    shared.api.get(SNAPSHOTS, { namespace: 'default', name: 'monday' });

  const leftovers = (made: Claim): string[] =>
    shared.cluster.nodes
      .map((node) => join(node.disk, POOL, nameOf(made)))
      .filter((folder) => existsSync(folder));

  it('holds what the snapshot held, or what the claim holds, and nothing of later', async () => {
    const { api, cluster } = shared;
    await cluster.reachServicesBy(cluster.node('node1'));
    origin = await claim('source');
    await serving(origin);
    await write(origin, 0, block('a'));
    await api.create(SNAPSHOTS, {
      apiVersion: SNAPSHOTS.apiVersion,
      kind: SNAPSHOTS.kind,
      metadata: { namespace: 'default', name: 'monday' },
      spec: { claim: 'source' },
    });
    await until('the snapshot', async () => (await snapshot()).status?.ready === true, READY_MS);
    expect((await snapshot()).status?.size).to.equal('16Mi');
    await write(origin, 0, block('b'));
    await write(origin, MIB, block('c'));
    const dataSourceRef = { apiGroup: 'openebs.io', kind: 'OpenEBSSnapshot', name: 'monday' };
    const dataSource = { kind: 'PersistentVolumeClaim', name: 'source' };
    const start = performance.now();
    clones.push(await claim('of-snapshot', { dataSourceRef }));
    clones.push(await claim('of-claim', { dataSource }));
    for (const made of clones) await serving(made);
    console.log(
      `      two clones serve after ${((performance.now() - start) / 1000).toFixed(1)} s`,
    );
    expect(await Promise.all([origin, ...clones].map(content))).to.deep.equal(['bc', 'a-', 'bc']);
    // Their Jobs, and the snapshot that the clone of the claim needed, are gone.
    const { items } = await api.list(JOBS, { namespace: SYSTEM_NAMESPACE });
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal([]);
  });

  it('goes its own way, and is whole when its origin is deleted', async () => {
    const [ofSnapshot, ofClaim] = clones as [Claim, Claim];
    await write(ofClaim, MIB, block('d'));
    await write(origin, 0, block('e'));
    await write(ofSnapshot, MIB, block('f'));
    expect(await Promise.all([origin, ...clones].map(content))).to.deep.equal(['ec', 'af', 'bd']);
    await removeVolume(shared.api, origin, nameOf(origin));
    expect(leftovers(origin)).to.deep.equal([]);
    expect(await Promise.all(clones.map(content))).to.deep.equal(['af', 'bd']);
    const gone = async (): Promise<boolean> => {
      const { status } = await snapshot();
      return status?.conditions[0]?.reason === 'VolumeGone' && !status.ready;
    };
    await until('the end of the snapshot', gone, READY_MS);
  });

  it('leaves nothing on the nodes when it is deleted', async () => {
    const { api, cluster } = shared;
    for (const made of clones) await removeVolume(api, made, nameOf(made));
    await api.remove(SNAPSHOTS, (await snapshot()).metadata);
    await until(
      'the end of its resource',
      async () => (await api.list(SNAPSHOTS)).items.length === 0,
      READY_MS,
    );
    expect(clones.flatMap(leftovers)).to.deep.equal([]);
    const kept = cluster.nodes.flatMap((node) => readdirSync(join(node.disk, POOL)));
    expect(kept).to.deep.equal([]);
  });
});
