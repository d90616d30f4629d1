/**
 * Goal: whoever leads, and whatever the leader before had under way, each claim has one volume.
 * Method: two provisioners, each with a way of its own to the real API server; that of the leader
 * is held up in the middle of the work, and what it had sent arrives when the other one leads.
 */
import { expect } from 'chai';
import { ClaimLoad } from './claim-load.ts';
import { FaultyApi } from './faulty-api.ts';
import { eventually, Installation } from './installation.ts';
import { thePlane } from './plane.ts';

const CLAIMS_AT_ONCE = 12;
/** On a machine that is so busy that the second leader loses its lease too. */
const LIMIT_MS = 120_000;

describe('two provisioners', () => {
  let first: Installation;
  let second: Installation;
  const proxies: FaultyApi[] = [];

  before(async () => {
    first = new Installation();
    await first.prepare();
    second = new Installation();
    for (let way = 0; way < 2; way++) proxies.push(await FaultyApi.start(thePlane().kubeconfig));
    await first.start({ through: proxies[0]!.url });
    await second.start({ through: proxies[1]!.url, standsBy: true, restarts: true });
  });

  after(async () => {
    await first.stop();
    await second.stop();
    for (const proxy of proxies) await proxy.close();
  });

  it('a leader that is cut off under load ends, and no volume is made twice when its calls arrive late', async () => {
    const [way] = proxies as [FaultyApi];
    const load = new ClaimLoad(first, 'moved');
    let arrive: () => void = () => undefined;
    const late = new Promise<void>((resolve) => (arrive = resolve));
    let held = 0;
    let made = 0;
    way.fault = ({ method, path, isWatch }) => {
      if (path.includes('/leases')) return held === 0 ? null : { kind: 'refuse' };
      if (isWatch || method === 'GET') return null;
      if (path.includes('/openebsvolumes')) made++;
      // In the middle: some volumes are begun, and none is whole.
      if (made < CLAIMS_AT_ONCE / 2) return null;
      held++;
      return { kind: 'hold', until: late };
    };
    const ended = first.ended();
    await load.create(CLAIMS_AT_ONCE);
    await eventually('calls under way', () => Promise.resolve(held > 0));
    expect(await ended).to.equal(1);
    await eventually('the other leader', () => Promise.resolve(second.leads), 40_000);
    expect(first.output).to.include('the lease was lost');
    arrive();
    await load.bound(LIMIT_MS);
    await load.isWhole();
    await load.free(LIMIT_MS);
  }).timeout(300_000);
});
