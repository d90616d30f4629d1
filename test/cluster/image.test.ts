/**
 * Goal: our containers may do nothing but their work, and end in order when they are told to.
 *
 * Method: on real nodes, with the chart's settings: what a process in the container may do is tried
 * from inside; who is told to end is watched until its last status. A daemon is the first process
 * of its container: without a handler of its own it would not even see SIGTERM.
 */
import { expect } from 'chai';
import { resource, type KubeObject } from '../../provisioner/src/kubernetes/objects.ts';
import { SYSTEM_NAMESPACE } from './openebs-system.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { claimVolume, removeVolume, type ClaimedVolume } from './volume-claim.ts';
import { type Pod, PODS } from './volume-pods.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const END_MS = 90_000;
const NAMESPACES = resource<KubeObject>('v1', 'Namespace', 'namespaces', false);

/** Prints what the container is allowed. */
const PROBE = `
const fs = require('node:fs');
const tryTo = (write) => {
  try { write(); return 'allowed'; } catch (error) { return error.code; }
};
const status = fs.readFileSync('/proc/self/status', 'utf8');
const of = (field) => new RegExp(field + ':\\\\s*(\\\\S+)').exec(status)[1];
console.log(JSON.stringify({
  user: process.getuid(),
  write: tryTo(() => fs.writeFileSync('/openebs/x', '')),
  capabilities: of('CapEff'),
  newPrivileges: of('NoNewPrivs'),
  seccomp: of('Seccomp'),
}));
`;

interface Allowed {
  readonly user: number;
  readonly write: string;
  readonly capabilities: string;
  readonly newPrivileges: string;
  readonly seccomp: string;
}

describe('the image', function () {
  this.timeout(300_000);
  let shared: SharedCluster;
  let volume: ClaimedVolume;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    volume = await claimVolume(shared.api, 'image', SIZE_BYTES);
  });

  const provisioners = async (): Promise<readonly Pod[]> => {
    const labelSelector = 'app.kubernetes.io/component=provisioner';
    const where = { namespace: SYSTEM_NAMESPACE, labelSelector };
    return (await shared.api.list(PODS, where)).items;
  };

  const allowedIn = async ({ metadata }: Pod): Promise<Allowed> => {
    const where = ['-n', SYSTEM_NAMESPACE, 'exec', metadata.name, '--'];
    return JSON.parse(await shared.cluster.kubectl([...where, 'node', '-e', PROBE])) as Allowed;
  };

  /** With which its container ends when the pod is deleted. */
  const exitCode = async ({ metadata }: Pod): Promise<number | null> => {
    const { api } = shared;
    const { resourceVersion } = await api.list(PODS, { namespace: SYSTEM_NAMESPACE });
    const options = {
      namespace: SYSTEM_NAMESPACE,
      resourceVersion,
      timeoutSeconds: END_MS / 1000,
    };
    await api.remove(PODS, metadata);
    let code: number | null = null;
    for await (const event of api.watch(PODS, options, AbortSignal.timeout(END_MS))) {
      if (event.type === 'BOOKMARK' || event.object.metadata.uid !== metadata.uid) continue;
      code = event.object.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? code;
      if (event.type === 'DELETED') return code;
    }
    return null;
  };

  it('runs without rights on a root file system that nobody writes to', async () => {
    const nothing = {
      write: 'EROFS',
      capabilities: '0000000000000000',
      newPrivileges: '1',
      seccomp: '2',
    };
    const [target] = await volume.pods.of('target');
    const [replica] = await volume.pods.of('replica');
    const [provisioner] = await provisioners();
    expect(await allowedIn(target!)).to.deep.equal({ user: 65532, ...nothing });
    expect(await allowedIn(provisioner!)).to.deep.equal({ user: 65532, ...nothing });
    // The directories of nodes are root's.
    expect(await allowedIn(replica!)).to.deep.equal({ user: 0, ...nothing });
  });

  it('runs targets and provisioners where Pod Security is "restricted"', async () => {
    const { api, cluster } = shared;
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    const namespace = { name: 'restricted', labels };
    await api.apply(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: namespace });
    const tryPod = async ({ spec }: Pod): Promise<string> => {
      const metadata = { name: 'try', namespace: 'restricted' };
      const free = {
        nodeName: undefined,
        serviceAccount: undefined,
        serviceAccountName: 'default',
      };
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { ...spec, ...free } };
      return cluster
        .kubectl(['create', '--dry-run=server', '-f', '-'], JSON.stringify(pod))
        .catch(String);
    };
    const [target] = await volume.pods.of('target');
    const [replica] = await volume.pods.of('replica');
    const [provisioner] = await provisioners();
    expect(await tryPod(target!)).to.include('pod/try created');
    expect(await tryPod(provisioner!)).to.include('pod/try created');
    expect(await tryPod(replica!)).to.include('violates PodSecurity');
  });

  it('ends in order at SIGTERM, whichever daemon it is', async () => {
    const [target] = await volume.pods.of('target');
    const [replica] = await volume.pods.of('replica');
    const [provisioner] = await provisioners();
    expect(await exitCode(target!), 'target').to.equal(0);
    expect(await exitCode(replica!), 'replica').to.equal(0);
    expect(await exitCode(provisioner!), 'provisioner').to.equal(0);
    await volume.pods.until('ready', END_MS);
    await removeVolume(shared.api, volume.claim, volume.name);
  });
});
