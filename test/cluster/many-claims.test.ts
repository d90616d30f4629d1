/**
 * Goal: many claims at once are each served once, by as few calls as one alone. Method: a proxy
 * that lets everything through writes down what the provisioner asks of a real control plane.
 */
import { expect } from 'chai';
import { ClaimLoad, nameOfVolume } from './claim-load.ts';
import { FaultyApi, type ProxiedCall } from './faulty-api.ts';
import { eventually, Installation, KINDS_WATCHED } from './installation.ts';
import { thePlane } from './plane.ts';

const CLAIMS_AT_ONCE = 100;
const LIMIT_MS = 400_000;
/** docs/kubernetes.md: "A volume takes 19 calls". */
const CALLS_EACH = 19;

const isLease = ({ path }: ProxiedCall): boolean => path.includes('/leases/');

describe('a hundred claims at once', () => {
  let cluster: Installation;
  let proxy: FaultyApi;
  let claims: ClaimLoad;

  before(async () => {
    cluster = new Installation();
    await cluster.prepare();
    proxy = await FaultyApi.start(thePlane().kubeconfig);
    await cluster.start({ through: proxy.url });
    await eventually('all watches', () => Promise.resolve(proxy.watches === KINDS_WATCHED));
    claims = new ClaimLoad(cluster, 'hundred');
  });

  after(async () => {
    await cluster.stop();
    await proxy.close();
  });

  it('get one whole volume each, with nothing made twice, listed or polled', async () => {
    const from = proxy.calls.length;
    await claims.create(CLAIMS_AT_ONCE);
    await claims.bound(LIMIT_MS);
    await claims.isWhole(LIMIT_MS);
    const uids = claims.claims.map(({ metadata }) => metadata.uid ?? '');
    // Volumes that other tests have left are asked for as well.
    const isOurs = ({ path, body }: ProxiedCall): boolean =>
      path.includes('/hundred-') || uids.some((uid) => path.includes(uid) || body.includes(uid));
    const asked = (): ProxiedCall[] =>
      proxy.calls
        .slice(from)
        .filter((call) => !isLease(call) && !call.isWatch && (call.isList || isOurs(call)));
    const told = (): number => asked().filter(({ path }) => path.includes('/status')).length;
    await eventually('the status of all', () => Promise.resolve(told() >= 4 * CLAIMS_AT_ONCE));
    const calls = asked();
    expect(calls.filter(({ isList }) => isList)).to.deep.equal([]);
    expect(calls.length).to.be.at.most(CALLS_EACH * CLAIMS_AT_ONCE);
    const named = claims.claims.map(nameOfVolume);
    const made = calls
      .filter(({ method, path }) => method === 'PATCH' && !path.includes('/status'))
      .map(({ path }) => path);
    expect(made.length, 'objects applied').to.equal(new Set(made).size);
    for (const kind of ['openebsvolumes', 'persistentvolumes']) {
      const created = calls
        .filter(({ method, path }) => method === 'POST' && path.includes(`/${kind}`))
        .map(({ body }) => (JSON.parse(body) as { metadata: { name: string } }).metadata.name);
      expect(created, kind).to.have.members(named);
    }
  }).timeout(2 * LIMIT_MS);

  it('leave nothing when they are deleted', async () => {
    await claims.free(LIMIT_MS);
  }).timeout(LIMIT_MS);
});
