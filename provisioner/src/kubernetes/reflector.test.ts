import { expect } from 'chai';
import { FakeKubeApi } from './fake-kube-api.test-support.ts';
import { KubeError } from './kube-api.ts';
import { CONFIG_MAPS } from './kube-api.contract.test-support.ts';
import type { KubeObject } from './objects.ts';
import { Reflector } from './reflector.ts';
import { settle, VirtualClock } from './virtual-clock.test-support.ts';

describe('the reflector', () => {
  let api: FakeKubeApi;
  let clock: VirtualClock;
  let stop: AbortController;
  let reflector: Reflector<KubeObject>;
  let changes: string[];
  let ended: Promise<void>;

  const object = (name: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'default', name },
  });

  const start = (): void => {
    ended = reflector.run(stop.signal);
  };

  beforeEach(() => {
    api = new FakeKubeApi();
    clock = new VirtualClock();
    stop = new AbortController();
    changes = [];
    reflector = new Reflector<KubeObject>({
      api,
      clock,
      resource: CONFIG_MAPS,
      log: () => undefined,
    });
    reflector.onChange((before, after) => {
      const name = (after ?? before)?.metadata.name ?? '';
      changes.push(`${before === null ? 'new' : after === null ? 'gone' : 'changed'} ${name}`);
    });
  });

  afterEach(async () => {
    stop.abort();
    await ended;
  });

  it('tells what is there, then every change once', async () => {
    await api.create(CONFIG_MAPS, object('a'));
    start();
    await reflector.whenSynced();
    const b = await api.create(CONFIG_MAPS, object('b'));
    await api.replace(CONFIG_MAPS, { ...b, data: { x: '1' } } as KubeObject);
    await api.remove(CONFIG_MAPS, { namespace: 'default', name: 'a' });
    await settle();
    expect(changes).to.deep.equal(['new a', 'new b', 'changed b', 'gone a']);
    expect([...reflector.values()].map(({ metadata }) => metadata.name)).to.deep.equal(['b']);
  });

  it('goes on where it was when the server ends the watch, without a new list', async () => {
    start();
    await reflector.whenSynced();
    await clock.pass(60_000);
    await api.create(CONFIG_MAPS, object('a'));
    await settle();
    api.endWatches();
    await clock.pass(60_000);
    await api.create(CONFIG_MAPS, object('b'));
    await settle();
    expect(changes).to.deep.equal(['new a', 'new b']);
    expect(api.calls.filter((call) => call.startsWith('list'))).to.have.length(1);
  });

  it('lists again when its place is too old, and tells what changed in between', async () => {
    await api.create(CONFIG_MAPS, object('a'));
    await api.create(CONFIG_MAPS, object('b'));
    start();
    await reflector.whenSynced();
    // While no watch is open: one goes, one is made anew under its name, one comes.
    let broken = true;
    api.before = (method) => {
      if (broken && method === 'watch') throw new KubeError(0, 'Unreachable', 'cut');
    };
    api.endWatches();
    await settle();
    await api.remove(CONFIG_MAPS, { namespace: 'default', name: 'a' });
    await api.remove(CONFIG_MAPS, { namespace: 'default', name: 'b' });
    await api.create(CONFIG_MAPS, object('b'));
    await api.create(CONFIG_MAPS, object('c'));
    api.compact();
    broken = false;
    await clock.pass(120_000);
    expect(changes.slice(0, 2)).to.deep.equal(['new a', 'new b']);
    expect(changes.slice(2)).to.have.members(['gone a', 'gone b', 'new b', 'new c']);
  });

  it('never gives up, and does not ask a server that fails without a pause', async () => {
    api.before = () => {
      throw new KubeError(500, 'InternalError', 'no');
    };
    start();
    await clock.pass(600_000);
    const attempts = api.calls.length;
    expect(attempts).to.be.within(12, 40);
    api.before = () => undefined;
    await clock.pass(60_000);
    expect(reflector.synced).to.equal(true);
  });
});
