import { expect } from 'chai';
import { KubeError, type KubeApi, type WatchEvent } from './kube-api.ts';
import { resource, type KubeObject } from './objects.ts';
import { setFinalizer } from './finalizer.ts';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

interface Secret extends KubeObject {
  readonly type: string;
}

const SECRETS = resource<Secret>('v1', 'Secret', 'secrets', true);

export const CONFIG_MAPS = resource<ConfigMap>('v1', 'ConfigMap', 'configmaps', true);

const NAMESPACE = 'default';
const POD_BUDGETS = 'poddisruptionbudgets';

const configMap = (name: string, data: Record<string, string>, labels = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: NAMESPACE, name, labels: { 'openebs.io/test': 'contract', ...labels } },
  data,
});

const failure = async (call: Promise<unknown>): Promise<KubeError> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof KubeError) return error;
    throw error;
  }
  throw new Error('the call succeeded');
};

interface Subject {
  readonly api: () => KubeApi;
  readonly fresh: () => string;
}

const where = (object: KubeObject): { namespace: string; name: string } => ({
  namespace: NAMESPACE,
  name: object.metadata.name,
});

/** What every KubeApi keeps: run against the one in memory, and against a real API server. */
export const describeKubeApi = (name: string, connect: () => KubeApi): void => {
  describe(`the Kubernetes API (${name})`, () => {
    let api: KubeApi;
    let count = 0;
    const subject: Subject = {
      api: () => api,
      fresh: () => `contract-${process.pid}-${++count}`,
    };

    before(() => {
      api = connect();
    });

    afterEach(async () => {
      const page = await api.list(CONFIG_MAPS, {
        namespace: NAMESPACE,
        labelSelector: 'openebs.io/test=contract',
      });
      for (const object of page.items) {
        await setFinalizer(api, CONFIG_MAPS, object, 'openebs.io/test', false);
        await api.remove(CONFIG_MAPS, where(object));
      }
    });

    describeWrites(subject);
    describeLists(subject);
    describeFields(subject);
  });
};

const describeWrites = ({ api: connected, fresh }: Subject): void => {
  let api: KubeApi;
  before(() => {
    api = connected();
  });

  it('creates an object once', async () => {
    const object = configMap(fresh(), { a: '1' });
    const made = await api.create(CONFIG_MAPS, object);
    expect(made.metadata.uid).to.match(/^[0-9a-f-]{36}$/);
    expect((await failure(api.create(CONFIG_MAPS, object))).reason).to.equal('AlreadyExists');
    expect((await api.get(CONFIG_MAPS, where(object))).data).to.deep.equal({ a: '1' });
  });

  it('applies what differs, and leaves an object that is as wanted untouched', async () => {
    const object = configMap(fresh(), { a: '1' });
    const first = await api.apply(CONFIG_MAPS, object);
    const same = await api.apply(CONFIG_MAPS, object);
    expect(same.metadata.resourceVersion).to.equal(first.metadata.resourceVersion);
    const changed = await api.apply(CONFIG_MAPS, configMap(object.metadata.name, { a: '2' }));
    expect(changed.data).to.deep.equal({ a: '2' });
    expect(changed.metadata.uid).to.equal(first.metadata.uid);
  });

  it('counts versions of what is asked for, and not of labels', async () => {
    const budgets = resource<KubeObject>('policy/v1', 'PodDisruptionBudget', POD_BUDGETS, true);
    const budget = (minAvailable: number, labels: Record<string, string>): KubeObject =>
      ({
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: { namespace: NAMESPACE, name, labels },
        spec: { minAvailable, selector: { matchLabels: { app: name } } },
      }) as KubeObject;
    const name = fresh();
    const first = await api.apply(budgets, budget(1, {}));
    const labelled = await api.apply(budgets, budget(1, { a: 'b' }));
    const changed = await api.apply(budgets, budget(2, { a: 'b' }));
    await api.remove(budgets, where(first));
    expect([first, labelled, changed].map(({ metadata }) => metadata.generation)).to.deep.equal([
      1, 1, 2,
    ]);
  });

  it('replaces only the version that was read', async () => {
    const made = await api.create(CONFIG_MAPS, configMap(fresh(), { a: '1' }));
    const newer = await api.replace(CONFIG_MAPS, { ...made, data: { a: '2' } });
    expect(newer.data).to.deep.equal({ a: '2' });
    const stale = await failure(api.replace(CONFIG_MAPS, { ...made, data: { a: '3' } }));
    expect(stale.isConflict).to.equal(true);
  });

  it('patches under a test, and not when the test fails', async () => {
    const made = await api.create(CONFIG_MAPS, configMap(fresh(), { a: '1' }));
    const { resourceVersion } = made.metadata;
    const test = {
      op: 'test',
      path: '/metadata/resourceVersion',
      value: resourceVersion,
    } as const;
    const change = { op: 'replace', path: '/data/a', value: '2' } as const;
    expect((await api.patch(CONFIG_MAPS, where(made), [test, change])).data).to.deep.equal({
      a: '2',
    });
    const { status } = await failure(api.patch(CONFIG_MAPS, where(made), [test, change]));
    expect([409, 422]).to.include(status);
  });
};

const describeLists = ({ api: connected, fresh }: Subject): void => {
  let api: KubeApi;
  before(() => {
    api = connected();
  });

  it('lists in pages what the labels select', async () => {
    const prefix = fresh();
    for (const index of [1, 2, 3]) {
      await api.create(CONFIG_MAPS, configMap(`${prefix}-${index}`, {}, { page: prefix }));
    }
    const names: string[] = [];
    let next: string | null = null;
    let pages = 0;
    do {
      const page: Awaited<ReturnType<typeof api.list>> = await api.list(CONFIG_MAPS, {
        namespace: NAMESPACE,
        labelSelector: `page=${prefix}`,
        limit: 2,
        ...(next === null ? {} : { continueFrom: next }),
      });
      names.push(...page.items.map(({ kind, metadata }) => `${kind} ${metadata.name}`));
      next = page.next;
      pages++;
    } while (next !== null);
    expect(names).to.deep.equal([1, 2, 3].map((index) => `ConfigMap ${prefix}-${index}`));
    expect(pages).to.equal(2);
  });

  it('watches from where a list ended, and ends when it is told to', async () => {
    const label = fresh();
    const selector = { namespace: NAMESPACE, labelSelector: `watch=${label}` };
    const { resourceVersion } = await api.list(CONFIG_MAPS, selector);
    const stop = new AbortController();
    const seen: string[] = [];
    const enough = (event: WatchEvent<ConfigMap>): boolean => event.type === 'DELETED';
    const watching = (async () => {
      const options = { ...selector, resourceVersion, timeoutSeconds: 30 };
      for await (const event of api.watch(CONFIG_MAPS, options, stop.signal)) {
        if (event.type !== 'BOOKMARK') seen.push(`${event.type} ${event.object.metadata.name}`);
        if (event.type !== 'BOOKMARK' && enough(event)) break;
      }
    })();
    const made = await api.create(CONFIG_MAPS, configMap(label, { a: '1' }, { watch: label }));
    await api.replace(CONFIG_MAPS, { ...made, data: { a: '2' } });
    await api.remove(CONFIG_MAPS, where(made));
    await watching;
    stop.abort();
    expect(seen).to.deep.equal([`ADDED ${label}`, `MODIFIED ${label}`, `DELETED ${label}`]);
  });

  it('removes only the object of the uid, and does not mind that it is gone', async () => {
    const made = await api.create(CONFIG_MAPS, configMap(fresh(), {}));
    const wrong = { uid: '00000000-0000-4000-8000-000000000000' };
    expect((await failure(api.remove(CONFIG_MAPS, where(made), wrong))).isConflict).to.equal(true);
    await api.remove(CONFIG_MAPS, where(made), { uid: made.metadata.uid ?? '' });
    await api.remove(CONFIG_MAPS, where(made));
    expect((await failure(api.get(CONFIG_MAPS, where(made)))).isNotFound).to.equal(true);
  });

  it('keeps an object until its last finalizer is taken away, whoever else sets some', async () => {
    const made = await api.create(CONFIG_MAPS, configMap(fresh(), {}));
    const held = await setFinalizer(api, CONFIG_MAPS, made, 'openebs.io/test', true);
    expect(held?.metadata.finalizers).to.deep.equal(['openebs.io/test']);
    // `made` is an old version by now: the second finalizer must not take away the first.
    const both = await setFinalizer(api, CONFIG_MAPS, made, 'openebs.io/other', true);
    expect(both?.metadata.finalizers).to.have.members(['openebs.io/test', 'openebs.io/other']);
    await api.remove(CONFIG_MAPS, where(made));
    const leaving = await api.get(CONFIG_MAPS, where(made));
    expect(leaving.metadata.deletionTimestamp).to.be.a('string');
    expect(await setFinalizer(api, CONFIG_MAPS, leaving, 'openebs.io/new', true)).to.equal(null);
    await setFinalizer(api, CONFIG_MAPS, leaving, 'openebs.io/test', false);
    await setFinalizer(api, CONFIG_MAPS, leaving, 'openebs.io/other', false);
    expect((await failure(api.get(CONFIG_MAPS, where(made)))).isNotFound).to.equal(true);
  });
};

const describeFields = ({ api: connected, fresh }: Subject): void => {
  it('tells of the objects that a field selects, and of no other', async () => {
    const api = connected();
    const name = fresh();
    const secret = (suffix: string, type: string): Secret => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: NAMESPACE, name: `${name}-${suffix}` },
      type,
    });
    const selector = { namespace: NAMESPACE, fieldSelector: 'type=example.com/kept' };
    const { resourceVersion } = await api.list(SECRETS, selector);
    await api.create(SECRETS, secret('other', 'example.com/other'));
    await api.create(SECRETS, secret('kept', 'example.com/kept'));
    const listed = (await api.list(SECRETS, selector)).items.map(({ metadata }) => metadata.name);
    expect(listed).to.deep.equal([`${name}-kept`]);
    const options = { ...selector, resourceVersion, timeoutSeconds: 30 };
    for await (const event of api.watch(SECRETS, options, new AbortController().signal)) {
      if (event.type === 'BOOKMARK') continue;
      expect(event.object.metadata.name).to.equal(`${name}-kept`);
      break;
    }
    await api.remove(SECRETS, { namespace: NAMESPACE, name: `${name}-kept` });
    await api.remove(SECRETS, { namespace: NAMESPACE, name: `${name}-other` });
  });
};
