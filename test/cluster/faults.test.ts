/**
 * Goal: whatever the API server or the way to it does, each claim ends with one whole volume,
 * nothing is left of what is deleted, and nobody is asked without pause. Method: the provisioner
 * with the chart's rights, behind a proxy that answers in the API server's place, holds calls up,
 * loses answers and cuts watches; the control plane behind it is real, and is killed in one test.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { orNull } from '../../provisioner/src/kubernetes/kube-api.ts';
import { DEPLOYMENTS } from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import {
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { Random } from '../support/random.ts';
import { ClaimLoad } from './claim-load.ts';
import { FaultyApi, type Fault, type ProxiedCall } from './faulty-api.ts';
import { eventually, Installation, KINDS_WATCHED, NAMESPACE } from './installation.ts';
import { thePlane } from './plane.ts';

const CLAIMS_EACH = 3;
/** A lease that is lost on a busy machine, and waited for, twice. */
const LIMIT_MS = 150_000;
/** A volume whose claim went before the volume was whole, and whose provisioner died then. */
const orphan = {
  apiVersion: VOLUME_RESOURCES.apiVersion,
  kind: VOLUME_RESOURCES.kind,
  metadata: { namespace: NAMESPACE, name: 'pvc-orphan' },
  spec: {
    ...{ size: '1Gi', replicas: 3, pool: 'default', topologyKey: 'kubernetes.io/hostname' },
    ...{ monitored: false, members: [] },
    claimRef: { namespace: 'default', name: 'left', uid: 'a-claim-that-is-gone' },
  },
} as VolumeResource;
/** The leader's lease is renewed whatever else happens, so that a test sees one leader. */
const isLease = ({ path }: ProxiedCall): boolean => path.includes('/leases');
/** What is written, but for events, which nothing waits for. */
const isWork = ({ method, path, isWatch }: ProxiedCall): boolean =>
  !isWatch && method !== 'GET' && !path.includes('/events');

describe('an API server that answers badly', () => {
  let cluster: Installation;
  let proxy: FaultyApi;
  const random = new Random(20_260);
  const loads: ClaimLoad[] = [];

  /** Each of these calls with this probability, of a hundred. */
  const some = (percent: number, fault: Fault, which: (call: ProxiedCall) => boolean): void => {
    proxy.fault = (call) =>
      !isLease(call) && which(call) && random.below(100) < percent ? fault : null;
  };

  /** Claims that are made while something is wrong, and what they cost. */
  const load = async (name: string, disturb: () => Promise<void>): Promise<ProxiedCall[]> => {
    const from = proxy.calls.length;
    const claims = new ClaimLoad(cluster, name);
    loads.push(claims);
    await claims.create(CLAIMS_EACH);
    await disturb();
    await claims.bound(LIMIT_MS);
    await claims.isWhole();
    const during = proxy.calls.slice(from);
    return during;
  };

  const nothing = (): Promise<void> => Promise.resolve();
  const allWatches = (): Promise<boolean> =>
    eventually('all watches', () => Promise.resolve(proxy.watches === KINDS_WATCHED));

  before(async () => {
    cluster = new Installation();
    await cluster.prepare();
    proxy = await FaultyApi.start(thePlane().kubeconfig);
    await cluster.api.create(VOLUME_RESOURCES, orphan);
    await cluster.start({ through: proxy.url, restarts: true });
    await allWatches();
  });

  afterEach(() => {
    proxy.fault = () => null;
  });

  after(async () => {
    await cluster.stop();
    await proxy.close();
  });

  it('500: each claim is bound, and no volume is half made or left', async () => {
    some(4, { kind: 'answer', status: 500, reason: 'InternalError' }, isWork);
    const calls = await load('internal', nothing);
    expect(calls.filter(isWork).length).to.be.below(CLAIMS_EACH * 200);
  }).timeout(180_000);

  it('409: whatever is said to be there already is looked for, and made', async () => {
    const there: Fault = { kind: 'answer', status: 409, reason: 'AlreadyExists' };
    const conflict: Fault = { kind: 'answer', status: 409, reason: 'Conflict' };
    proxy.fault = (call) => {
      if (isLease(call) || !isWork(call) || random.below(100) >= 8) return null;
      return call.method === 'POST' ? there : conflict;
    };
    await load('conflict', nothing);
  }).timeout(180_000);

  it('429: nothing is asked again before the time that Retry-After names', async () => {
    const refused = new Map<string, number>();
    const waits: number[] = [];
    proxy.fault = (call) => {
      if (isLease(call) || !isWork(call)) return null;
      const key = `${call.method} ${call.path}`;
      // Only what has a name of its own is known again.
      if (call.method !== 'PATCH') return null;
      const before = refused.get(key);
      if (before !== undefined) {
        refused.delete(key);
        waits.push(call.atMs - before);
        return null;
      }
      if (random.below(100) >= 25) return null;
      refused.set(key, call.atMs);
      return { kind: 'answer', status: 429, reason: 'TooManyRequests', retryAfterSeconds: 1 };
    };
    await load('busy', nothing);
    expect(waits).not.to.deep.equal([]);
    expect(Math.min(...waits)).to.be.at.least(990);
  }).timeout(180_000);

  it('slow: claims are bound by calls that take their time', async () => {
    proxy.fault = (call) =>
      call.isWatch || isLease(call) ? null : { kind: 'hold', until: delay(300) };
    await load('slow', nothing);
  }).timeout(180_000);

  it('answers lost: what was done and never heard of is not done twice', async () => {
    some(10, { kind: 'lose' }, isWork);
    await load('unheard', nothing);
  }).timeout(180_000);

  it('410: a watch that is too old begins with a list, and only then', async () => {
    let gone = 0;
    const calls = await load('gone', async () => {
      proxy.fault = (call) => {
        if (!call.isWatch || gone >= KINDS_WATCHED) return null;
        gone++;
        return { kind: 'answer', status: 410, reason: 'Expired' };
      };
      proxy.cutWatches();
      await eventually('watches that are refused', () => Promise.resolve(gone === KINDS_WATCHED));
    });
    const lists = calls.filter(({ isList }) => isList).length;
    expect(lists).to.be.within(1, gone);
  }).timeout(180_000);

  it('watches cut in the middle of an event go on where they were, without a list', async () => {
    // Those that were refused before come again after a pause.
    await allWatches();
    const calls = await load('cut', async () => {
      for (let round = 0; round < 4; round++) {
        expect(proxy.cutWatches()).to.be.at.least(round === 0 ? KINDS_WATCHED : 0);
        await delay(200);
      }
    });
    expect(calls.filter(({ isList }) => isList)).to.deep.equal([]);
  }).timeout(180_000);

  it('nothing at all for five seconds: it is asked with pauses, and then all is done', async () => {
    const from = performance.now();
    let asked = 0;
    const calls = await load('away', async () => {
      proxy.fault = (call) => {
        if (isLease(call)) return null;
        asked++;
        return { kind: 'refuse' };
      };
      proxy.cutWatches();
      await delay(5_000);
      proxy.fault = () => null;
    });
    // Watches and workers, each with a pause of half a second or more.
    expect(asked).to.be.below(200);
    expect(calls.length).to.be.below(CLAIMS_EACH * 100);
    expect(performance.now() - from).to.be.below(90_000);
  }).timeout(180_000);

  it('the API server is killed under load and started again: all goes on by itself', async () => {
    await load('restart', async () => {
      await thePlane().restartApiServer();
    });
  }).timeout(180_000);

  it('500 and answers lost while claims are deleted: nothing is left', async () => {
    const failing: Fault = { kind: 'answer', status: 500, reason: 'InternalError' };
    proxy.fault = (call) => {
      if (isLease(call) || !isWork(call) || random.below(100) >= 4) return null;
      return random.below(2) === 0 ? failing : { kind: 'lose' };
    };
    await Promise.all(loads.map((each) => each.free(LIMIT_MS)));
  }).timeout(180_000);

  it('what a provisioner that died has left of a volume without a claim is collected', async () => {
    await eventually(
      'the end of the orphan',
      async () => {
        await cluster.endAllCleaning();
        return (await cluster.api.get(VOLUME_RESOURCES, orphan.metadata).catch(orNull)) === null;
      },
      150_000,
    );
    // Its objects go with it, in the control plane's own time.
    await eventually('the end of its objects', async () => {
      const { items } = await cluster.api.list(DEPLOYMENTS, { namespace: NAMESPACE });
      return !items.some(({ metadata }) => metadata.name.startsWith('pvc-orphan'));
    });
  }).timeout(160_000);
});
