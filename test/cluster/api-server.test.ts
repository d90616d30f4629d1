/**
 * Goal: the API server works on a cluster as it does on one host, with the rights of the chart and
 * no other. Method: it runs as a process beside a real control plane without nodes, so volumes are
 * recorded, planned and deleted there; what their targets do is tried where there are nodes.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ApiClient } from '../../provisioner/src/cli/api-client.ts';
import { CliFailure } from '../../provisioner/src/cli/failure.ts';
import { VOLUME_RESOURCES } from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { kubectl } from './chart.ts';
import { eventually, Installation, NAMESPACE } from './installation.ts';
import { thePlane } from './plane.ts';

const root = join(import.meta.dirname, '..', '..');

/** As the chart's Deployment runs it, with its service account. */
const startServer = async (
  settings: string,
): Promise<{ child: ChildProcess; client: ApiClient; output: () => string }> => {
  const { directory, kubeconfig } = thePlane();
  const tokens = join(directory, 'api-tokens');
  mkdirSync(tokens, { recursive: true });
  writeFileSync(join(tokens, 'token'), 'secret-of-the-test');
  writeFileSync(join(tokens, 'token-read-only'), 'another-secret');
  const token = await kubectl(['-n', NAMESPACE, 'create', 'token', 'openebs-api']);
  const admin = JSON.parse(readFileSync(kubeconfig, 'utf8')) as object;
  const access = join(directory, 'api.kubeconfig');
  const users = [{ name: 'admin', user: { token: token.trim() } }];
  writeFileSync(access, JSON.stringify({ ...admin, users }), { mode: 0o600 });
  const main = join(root, 'provisioner/src/kubernetes-api-main.ts');
  const args = [main, '--settings', settings, '--tokens', tokens, '--host', '127.0.0.1'];
  const child = spawn(process.execPath, [...args, '--port', '0'], {
    env: { ...process.env, KUBECONFIG: access },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  const url = await eventually('the API server', () => {
    if (child.exitCode !== null) throw new Error(output);
    const address = /"address":"([^"]+)"/.exec(output)?.[1];
    return Promise.resolve(output.includes('"msg":"ready"') ? address : null);
  });
  const client = new ApiClient({ url, token: 'secret-of-the-test', start: null });
  return { child, client, output: () => output };
};

describe('the API server on a real control plane', () => {
  let cluster: Installation;
  let server: Awaited<ReturnType<typeof startServer>>;

  const failure = async (call: Promise<unknown>): Promise<string> => {
    try {
      await call;
    } catch (error) {
      if (error instanceof CliFailure) return `${error.message}; ${error.next ?? ''}`;
      throw error;
    }
    throw new Error('it was taken');
  };

  const create = (name: string, replicas = 3): Promise<unknown> =>
    server.client.createVolume({ name, size: '1GiB', replicas }, `key-${name}`);

  before(async () => {
    cluster = new Installation();
    await cluster.prepare();
    await cluster.start();
    server = await startServer(cluster.settings);
  });

  after(async () => {
    const ended = new Promise((resolve) => server.child.once('exit', resolve));
    server.child.kill('SIGTERM');
    await ended;
    await cluster.stop();
  });

  it('makes a volume, tells of it, and deletes it with everything', async () => {
    await create('alone');
    const view = await eventually('its members', async () => {
      const volume = await server.client.volume('alone');
      return volume.replicas.length === 3 && volume.portal !== '' ? volume : null;
    });
    expect(view).to.include({ size: 1024 ** 3, status: 'starting', replicaCount: 3 });
    expect(view.replicas.map(({ node }) => node).sort()).to.deep.equal(['node1', 'node2', 'node3']);
    const { items } = await server.client.volumes();
    expect(items.map(({ name }) => name)).to.include('alone');
    await server.client.deleteVolume('alone', { force: false });
    await eventually('its end', async () => {
      await cluster.endCleaning('alone');
      const { items: left } = await cluster.api.list(VOLUME_RESOURCES, { namespace: NAMESPACE });
      return left.every(({ metadata }) => metadata.name !== 'alone');
    });
  });

  it('makes a volume once for one key, and refuses a second one of its name', async () => {
    await create('once');
    await create('once');
    const other = server.client.createVolume({ name: 'once', size: '1GiB', replicas: 3 }, 'other');
    expect(await failure(other)).to.include('there is a volume once already');
  });

  it('grows a volume of its own, and sends who asks for that of a claim to the claim', async () => {
    await create('grows');
    await server.client.changeVolume('grows', { size: '2GiB' });
    const where = { namespace: NAMESPACE, name: 'grows' };
    expect((await cluster.api.get(VOLUME_RESOURCES, where)).spec.size).to.equal('2Gi');
    const shrink = server.client.changeVolume('grows', { size: '1GiB' });
    expect(await failure(shrink)).to.include('cannot shrink');
    const claim = await cluster.claim('claimed');
    const { metadata } = await cluster.bound(claim);
    const grow = server.client.changeVolume(metadata.name, { size: '2GiB' });
    expect(await failure(grow)).to.include('kubectl -n default patch pvc claimed');
    const removal = server.client.deleteVolume(metadata.name, { force: false });
    expect(await failure(removal)).to.include('kubectl -n default delete pvc claimed');
  });

  it('limits the rate of rebuilds in the record, and takes no limit that is none', async () => {
    await create('paced');
    const where = { namespace: NAMESPACE, name: 'paced' };
    const rate = async (): Promise<string | undefined> =>
      (await cluster.api.get(VOLUME_RESOURCES, where)).spec.rebuildRate;
    await server.client.changeVolume('paced', { rebuildBytesPerSecond: 32 * 1024 ** 2 });
    expect(await rate()).to.equal('32Mi');
    expect((await server.client.volume('paced')).rebuildBytesPerSecond).to.equal(32 * 1024 ** 2);
    for (const value of ['fast', '0', '500m', '65Ti']) {
      const operation = { op: 'replace', path: '/spec/rebuildRate', value } as const;
      const refused = await cluster.api
        .patch(VOLUME_RESOURCES, where, [operation])
        .then(() => 'taken', String);
      expect(refused, value).to.match(/write a quantity|a whole number of bytes above 0/);
    }
    await server.client.changeVolume('paced', { rebuildBytesPerSecond: null });
    expect(await rate()).to.equal(undefined);
  });

  it('changes the number of copies in the record, and keeps the last that holds the data', async () => {
    await create('scaled', 1);
    await server.client.addReplica('scaled');
    const where = { namespace: NAMESPACE, name: 'scaled' };
    expect((await cluster.api.get(VOLUME_RESOURCES, where)).spec.replicas).to.equal(2);
    const members = await eventually('a witness', async () => {
      const { spec } = await cluster.api.get(VOLUME_RESOURCES, where);
      return spec.members.length === 3 ? spec.members : null;
    });
    expect(members.map(({ role }) => role)).to.deep.equal(['data', 'data', 'witness']);
    // The API server does not wait for members to ask for one copy more: it asks once.
    await server.client.changeVolume('scaled', { replicas: 3 });
    expect((await cluster.api.get(VOLUME_RESOURCES, where)).spec.replicas).to.equal(3);
    const removal = server.client.removeReplica('scaled', 'replica-1');
    expect(await failure(removal)).to.include('no other replica holds everything');
  });

  it('says that a target takes no orders while there is none', async () => {
    await create('silent');
    expect(await failure(server.client.createSnapshot('silent', 'first'))).to.include(
      'takes no orders now',
    );
    expect(await failure(server.client.scrubVolume('silent'))).to.include('takes no orders now');
  });

  it('takes its token in a header of its own too, behind a proxy that keeps the usual one', async () => {
    const { url } = server.client;
    const ask = async (token: string): Promise<number> =>
      (await fetch(`${url}/v1/volumes`, { headers: { 'x-openebs-token': token } })).status;
    expect(await ask('secret-of-the-test')).to.equal(200);
    expect(await ask('wrong')).to.equal(401);
  });

  it('has used no right that the chart does not give', () => {
    expect(server.output()).not.to.match(/forbidden|cannot (list|watch|get)/i);
  });
});
