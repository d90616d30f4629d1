/**
 * Goal: what fails is tried again with growing pauses, for ever, and people are told why. Method:
 * a proxy before the real API server refuses one call of one volume, until it no longer does.
 */
import { expect } from 'chai';
import { CLAIMS, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import { orNull } from '../../provisioner/src/kubernetes/kube-api.ts';
import { nameOfVolume } from './claim-load.ts';
import { FaultyApi, type Fault, type ProxiedCall } from './faulty-api.ts';
import { eventually, Installation } from './installation.ts';
import { thePlane } from './plane.ts';

const FAILS: Fault = { kind: 'answer', status: 500, reason: 'InternalError' };
/** The second pause is twice the first; the machine may make each a little longer. */
const GROWTH = 1.6;
const ATTEMPTS = 4;

describe('what fails again and again', () => {
  let cluster: Installation;
  let proxy: FaultyApi;

  /** Refuses such calls; resolves with the moments of the attempts when there were enough. */
  const refusedOften = async (which: (call: ProxiedCall) => boolean): Promise<number[]> => {
    const moments: number[] = [];
    proxy.fault = (call) => {
      if (!which(call)) return null;
      moments.push(call.atMs);
      return FAILS;
    };
    await eventually('the attempts', () => Promise.resolve(moments.length >= ATTEMPTS));
    return moments;
  };

  const pauses = (moments: readonly number[]): number[] =>
    moments.slice(1).map((ms, index) => ms - (moments[index] ?? NaN));

  const expectGrowth = (moments: readonly number[]): void => {
    const [first = NaN, second = NaN, third = NaN] = pauses(moments);
    expect(first).to.be.at.least(990);
    expect(second).to.be.at.least(990 * GROWTH);
    expect(third).to.be.at.least(990 * GROWTH ** 2);
  };

  const gone = async (claim: Claim): Promise<void> => {
    const name = nameOfVolume(claim);
    await eventually('the end of the volume', async () => {
      await cluster.endCleaning(name);
      return (await cluster.api.get(VOLUMES, { name }).catch(orNull)) === null;
    });
  };

  before(async () => {
    cluster = new Installation();
    await cluster.prepare();
    proxy = await FaultyApi.start(thePlane().kubeconfig);
    await cluster.start({ through: proxy.url, restarts: true });
  });

  after(async () => {
    await cluster.stop();
    await proxy.close();
  });

  it('a volume that cannot be made: ProvisioningFailed once with a count, pauses that grow, then bound', async () => {
    const making = refusedOften(
      ({ method, path, body }) =>
        method === 'POST' && path.includes('/persistentvolumes') && body.includes('"delayed"'),
    );
    const claim = await cluster.claim('delayed');
    expectGrowth(await making);
    expect(await cluster.events('delayed')).to.match(/ProvisioningFailed: .*InternalError/);
    proxy.fault = () => null;
    await cluster.bound(claim);
    await cluster.api.remove(CLAIMS, claim.metadata);
    await gone(claim);
  }).timeout(90_000);

  it('a volume that cannot be freed: VolumeFailedDelete on it, pauses that grow, then gone', async () => {
    const claim = await cluster.claim('sticky');
    const name = nameOfVolume(claim);
    await cluster.bound(claim);
    const freeing = refusedOften(
      ({ method, path }) => method === 'DELETE' && path.includes(`/openebsvolumes/${name}`),
    );
    await cluster.api.remove(CLAIMS, claim.metadata);
    expectGrowth(await freeing);
    const events = await eventually('the event', async () => {
      const text = await cluster.events(name);
      return text.includes('VolumeFailedDelete') ? text : null;
    });
    expect(events).to.include(`Freeing volume ${name}`).and.include('it is tried again');
    proxy.fault = () => null;
    await gone(claim);
  }).timeout(90_000);
});
