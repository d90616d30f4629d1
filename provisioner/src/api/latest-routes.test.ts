import { expect } from 'chai';
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import { appOver, Shelf } from './shelf.test-support.ts';

describe("the original's API", () => {
  let app: FastifyInstance;
  let shelf: Shelf;

  beforeEach(async () => {
    shelf = new Shelf();
    app = await appOver(shelf);
  });
  afterEach(() => app.close());

  const send = (
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    url: string,
    options: { body?: string; type?: string; token?: string } = {},
  ): Promise<LightMyRequestResponse> => {
    const { body, type, token = 'adm' } = options;
    return app.inject({
      method,
      url,
      headers: {
        authorization: `Bearer ${token}`,
        ...(type === undefined ? {} : { 'content-type': type }),
      },
      ...(body === undefined ? {} : { payload: body }),
    });
  };
  const claim = (name: string, labels: Record<string, unknown> = {}): string =>
    JSON.stringify({ kind: 'PersistentVolumeClaim', metadata: { name, labels } });

  it('makes volumes of YAML, of JSON, and of what curl sends without a type', async () => {
    const yaml = `kind: PersistentVolumeClaim
apiVersion: v1
metadata:
  name: one
  labels:
    volumeprovisioner.mapi.openebs.io/storage-size: 2G
    volumeprovisioner.mapi.openebs.io/replica-count: 1
`;
    const made = await send('POST', '/latest/volumes/', { body: yaml, type: 'application/yaml' });
    expect(made.statusCode, made.body).to.equal(200);
    expect(made.json<{ metadata: object }>().metadata).to.include({ name: 'one' });
    expect(shelf.views.get('one')).to.include({ replicaCount: 1 });
    expect(shelf.views.get('one')?.size).to.be.within(2e9, 2e9 + 4096);
    const form = 'application/x-www-form-urlencoded';
    const plain = await send('POST', '/latest/volumes/', { body: claim('two'), type: form });
    expect(plain.statusCode, plain.body).to.equal(200);
    // As the original: 5G; and as here: three replicas.
    expect(shelf.views.get('two')?.size).to.be.within(5e9, 5e9 + 4096);
    const volume = {
      kind: 'Volume',
      metadata: { name: 'three' },
      capacity: '1Gi',
      specs: [{ context: 'controller' }, { context: 'replica', replicas: 2 }],
    };
    const typed = { body: JSON.stringify(volume), type: 'application/json' };
    expect((await send('PUT', '/latest/volumes/', typed)).statusCode).to.equal(200);
    expect(shelf.views.get('three')).to.include({ size: 1024 ** 3, replicaCount: 2 });
  });

  it('tells volumes in the shapes of types/v1', async () => {
    await send('POST', '/latest/volumes/', { body: claim('db') });
    const info = (await send('GET', '/latest/volumes/info/db')).json<{
      metadata: { name: string; annotations: Record<string, string> };
      status: object;
    }>();
    expect(info.metadata.annotations).to.include({
      'vsm.openebs.io/iqn': 'iqn.2016-09.com.openebs:db',
      'vsm.openebs.io/targetportals': '127.0.0.1:1',
      'vsm.openebs.io/controller-status': 'Running',
      'vsm.openebs.io/replica-count': '3',
      'vsm.openebs.io/replica-status': 'Running,Running,Running',
      'openebs.io/jiva-target-portal': '127.0.0.1:1',
    });
    for (const value of Object.values(info.metadata.annotations)) expect(value).to.be.a('string');
    expect(info.status).to.deep.equal({ Phase: 'Running', Message: '', Reason: '' });
    for (const url of ['/latest/volumes/', '/latest/volumes']) {
      const list = (await send('GET', url)).json<{ items: object[]; metadata: object }>();
      expect(list.items).to.deep.equal([info]);
      expect(list.metadata).to.deep.equal({});
    }
    expect((await send('GET', '/latest/volumes/db')).json()).to.deep.equal(info);
    expect((await send('GET', '/latest/volumes/info/db?pretty')).body).to.include('\n    "meta');
  });

  it("tells counters as the original's controller: text, nanoseconds, blocks", async () => {
    await send('POST', '/latest/volumes/', { body: claim('db') });
    expect((await send('GET', '/latest/volumes/stats/db')).json()).to.include({
      Name: 'db',
      ReadIOPS: '10',
      TotalReadTime: '500000000',
      TotalReadBlockCount: '10',
      WriteIOPS: '20',
      TotatWriteBlockCount: '20',
      UsedLogicalBlocks: '20',
      UsedBlocks: '25',
      SectorSize: '4096',
      UpTime: 100,
    });
  });

  it('takes, lists and reverts to snapshots', async () => {
    await send('POST', '/latest/volumes/', { body: claim('db') });
    const body = 'metadata:\n  name: s1\nspec:\n  volumeName: db\n';
    const type = 'application/yaml';
    const made = await send('POST', '/latest/snapshots/create/', { body, type });
    expect(made.json()).to.include({ id: 's1', type: 'snapshotOutput' });
    const list = (await send('GET', '/latest/snapshots/list/db')).json<Record<string, object>>();
    expect(list['volume-snap-s1.img']).to.include({ name: 'volume-snap-s1.img', parent: '' });
    const url = '/latest/snapshots/revert/?force=true';
    const reverted = await send('POST', url, { body, type });
    expect(reverted.json()).to.equal('Reverting to snapshot [s1] of volume [db]');
    expect((await send('POST', '/latest/snapshots/revert/', { body, type })).statusCode).to.equal(
      409,
    );
  });

  it('deletes with GET, but for nobody who may only read, however the URL is written', async () => {
    await send('POST', '/latest/volumes/', { body: claim('db') });
    for (const url of [
      '/latest/volumes/delete/db',
      '/latest/volumes/%64elete/db',
      '/latest/volumes/delete/%64b?x',
    ]) {
      expect((await send('GET', url, { token: 'ro' })).statusCode, url).to.equal(403);
    }
    expect(shelf.views.has('db')).to.equal(true);
    expect((await send('GET', '/latest/volumes/info/db', { token: 'ro' })).statusCode).to.equal(
      200,
    );
    const gone = await send('GET', '/latest/volumes/delete/db');
    expect(gone.json()).to.equal("Volume 'db' deleted successfully");
    expect(shelf.views.has('db')).to.equal(false);
    await send('POST', '/latest/volumes/', { body: claim('db') });
    expect((await send('DELETE', '/latest/volumes/db')).statusCode).to.equal(200);
  });

  it('refuses in plain text with a code that says why', async () => {
    const cases: readonly [Promise<LightMyRequestResponse>, number, RegExp][] = [
      [send('GET', '/latest/volumes/info/none'), 404, /no volume none/],
      [send('GET', '/latest/volumes/delete/none'), 404, /no volume none/],
      [send('GET', '/latest/volumes/', { token: 'wrong' }), 401, /token/],
      [send('POST', '/latest/volumes/', { body: '{' }), 400, /cannot be read/],
      [send('POST', '/latest/volumes/', { body: 'null' }), 400, /name missing/],
      [send('POST', '/latest/volumes/', { body: claim('Bad_Name') }), 400, /is no name/],
      [
        send('POST', '/latest/volumes/', { body: claim('x', { 'openebs.io/capacity': 'big' }) }),
        400,
        /no size/,
      ],
      [
        send('POST', '/latest/volumes/', {
          body: claim('x', { 'openebs.io/jiva-replica-count': 9 }),
        }),
        400,
        /1 to 5/,
      ],
      [send('POST', '/latest/snapshots/create/', { body: '{}' }), 400, /snapshot name missing/],
      [
        send('POST', '/latest/snapshots/create/', { body: '{"metadata":{"name":"s"}}' }),
        400,
        /volume name missing/,
      ],
    ];
    for (const [sent, status, words] of cases) {
      const { statusCode, body, headers } = await sent;
      expect([statusCode, body]).to.satisfy(
        ([code, text]: [number, string]) => code === status && words.test(text),
        `${statusCode} ${body}, not ${status} ${String(words)}`,
      );
      expect(headers['content-type']).to.match(/^text\/plain/);
    }
  });
});
