import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { clusterAccess } from './cluster-access.ts';

describe('access to a cluster', () => {
  const before = { ...process.env };
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'access-'));
    process.env['KUBERNETES_SERVICE_HOST'] = 'fd00::1';
    process.env['KUBERNETES_SERVICE_PORT'] = '443';
  });

  afterEach(() => {
    for (const name of ['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT']) {
      if (before[name] === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = before[name];
    }
    rmSync(directory, { recursive: true });
  });

  const write = (name: string, content: string): void =>
    writeFileSync(join(directory, name), content);

  it('is in a pod by its token, read anew each time, over one agent', async () => {
    write('ca.crt', '');
    write('token', 'first\n');
    const access = await clusterAccess(null, directory);
    expect(access.server).to.equal('https://[fd00::1]:443');
    const first = await access.enter();
    write('token', 'second\n');
    const second = await access.enter();
    expect(first.headers).to.deep.equal({ authorization: 'Bearer first' });
    expect(second.headers).to.deep.equal({ authorization: 'Bearer second' });
    expect(second.agent).to.equal(first.agent);
  });

  it('is by the file that is named, also in a pod', async () => {
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'here' },
      clusters: [{ name: 'there', cluster: { server: 'https://there:6443/' } }],
      users: [{ name: 'somebody', user: { token: 'theirs' } }],
      contexts: [{ name: 'here', context: { cluster: 'there', user: 'somebody' } }],
    };
    write('kubeconfig', JSON.stringify(config));
    const access = await clusterAccess(join(directory, 'kubeconfig'), directory);
    expect(access.server).to.equal('https://there:6443');
    const { headers } = await access.enter();
    expect(headers).to.deep.equal({ Authorization: 'Bearer theirs' });
    // It loads all of the package, which takes seconds where much else runs.
  }).timeout(20_000);

  it('says which file is missing, and what to do', async () => {
    const words = await clusterAccess(null, directory).then(String, String);
    expect(words).to.include(join(directory, 'ca.crt')).and.to.include('--kubeconfig');
  });
});
