import { expect } from 'chai';
import type { FastifyInstance } from 'fastify';
import type { VolumeView } from '../orchestrator/orchestrator.ts';
import { appOver, Shelf } from './shelf.test-support.ts';

describe('API server', () => {
  let app: FastifyInstance;
  let shelf: Shelf;

  beforeEach(async () => {
    shelf = new Shelf();
    app = await appOver(shelf, { isReady: false });
  });
  afterEach(() => app.close());

  interface Call {
    readonly token?: string | null;
    readonly body?: unknown;
    readonly headers?: Record<string, string>;
  }

  async function call(method: 'GET' | 'POST' | 'DELETE', url: string, options: Call = {}) {
    const { token = 'adm', body, headers = {} } = options;
    const answer = await app.inject({
      method,
      url,
      headers: { ...headers, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
      ...(body === undefined ? {} : { payload: body as object }),
    });
    const isJson = String(answer.headers['content-type']).includes('json');
    return {
      status: answer.statusCode,
      type: String(answer.headers['content-type']),
      headers: answer.headers,
      body: isJson ? answer.json<Record<string, unknown>>() : { text: answer.body },
    };
  }

  it('creates, shows, lists and deletes', async () => {
    const created = await call('POST', '/v1/volumes', { body: { name: 'db', size: '1GiB' } });
    expect(created.status).to.equal(202);
    expect(created.headers.location).to.equal(`/v1/operations/${String(created.body['id'])}`);
    await new Promise(setImmediate);
    const operation = await call('GET', String(created.headers.location));
    expect(operation.body).to.include({ status: 'succeeded', percent: 100, volume: 'db' });
    const one = await call('GET', '/v1/volumes/db');
    expect(one.body).to.include({
      name: 'db',
      size: 1024 ** 3,
      status: 'healthy',
      replicaCount: 3,
    });
    expect(one.body['replicas']).to.have.length(3);
    expect(one.headers.etag).to.match(/^"[0-9a-f-]+-1"$/);
    expect((await call('GET', '/v1/volumes')).body['items']).to.have.length(1);
    expect((await call('DELETE', '/v1/volumes/db')).status).to.equal(202);
    expect((await call('GET', '/v1/volumes/db')).status).to.equal(404);
  });

  it('says which methods a path takes, where it is asked by another one', async () => {
    const wrong = await call('POST', '/v1/volumes/db');
    expect([wrong.status, wrong.body['code']]).to.deep.equal([405, 'method-not-allowed']);
    expect(wrong.headers.allow).to.equal('DELETE, GET, HEAD, PATCH');
    expect((await call('DELETE', '/v1/events')).headers.allow).to.equal('GET, HEAD');
    expect((await call('DELETE', '/v1/nothing')).status).to.equal(404);
  });

  it('makes clones, as large as their snapshot where no size is given, and says of what', async () => {
    const outcome = async (body: object): Promise<unknown> => {
      const begun = await call('POST', '/v1/volumes', { body });
      expect(begun.status, JSON.stringify(begun.body)).to.equal(202);
      await new Promise(setImmediate);
      return (await call('GET', String(begun.headers.location))).body['message'];
    };
    const source = { volume: 'db', snapshot: 'monday' };
    expect(await outcome({ name: 'one', source })).to.equal(
      'volume one serves, a clone of db@monday',
    );
    expect(
      await outcome({ name: 'two', source: { volume: 'db' }, size: '2GiB', replicas: 1 }),
    ).to.equal('volume two serves, a clone of db@clone-two, which was taken for it');
    expect(shelf.clones).to.deep.equal([
      { name: 'one', source, sizeBytes: null, replicas: null, chap: null },
      {
        name: 'two',
        source: { volume: 'db', snapshot: null },
        sizeBytes: 2 * 1024 ** 3,
        replicas: 1,
        chap: null,
      },
    ]);
    const { body } = await call('GET', '/v1/volumes/one');
    expect(body['source']).to.include({ volume: 'db', snapshot: 'monday' });
  });

  it('says that a size was rounded', async () => {
    const { body } = await call('POST', '/v1/volumes', { body: { name: 'db', size: '1000001KB' } });
    await new Promise(setImmediate);
    const operation = await call('GET', `/v1/operations/${String(body['id'])}`);
    expect(operation.body['message']).to.match(/rounded up to \d+ bytes/);
    expect(Number((await call('GET', '/v1/volumes/db')).body['size']) % 4096).to.equal(0);
  });

  it('refuses what is not valid with problem+json and a stable code', async () => {
    const cases: readonly [Call, number, string][] = [
      [{ body: { name: 'UPPER', size: '1GiB' } }, 400, 'name-invalid'],
      [{ body: { name: '-a', size: '1GiB' } }, 400, 'name-invalid'],
      [{ body: { name: 'a'.repeat(64), size: '1GiB' } }, 400, 'name-invalid'],
      [{ body: { name: '../etc', size: '1GiB' } }, 400, 'name-invalid'],
      [{ body: { name: 'a' } }, 400, 'size-invalid'],
      [{ body: { name: 'a', size: '1GiB', sizeBytes: 1024 ** 3 } }, 400, 'size-invalid'],
      [
        { body: { name: 'a', size: '1GiB', sizeBytes: 1, source: { volume: 'v' } } },
        400,
        'size-invalid',
      ],
      [{ body: { name: 'a', source: {} } }, 400, 'bad-request'],
      [{ body: { name: 'a', source: { volume: 'v', snapshot: 'S' } } }, 400, 'bad-request'],
      [{ body: { name: 'a', size: 'big' } }, 400, 'size-invalid'],
      [{ body: { name: 'a', size: '1KiB' } }, 400, 'size-invalid'],
      [{ body: { name: 'a', size: '65TiB' } }, 400, 'size-invalid'],
      [{ body: { name: 'a', size: '1GiB', replicas: 6 } }, 400, 'bad-request'],
      [{ body: { name: 'a', size: '1GiB', replicas: 0 } }, 400, 'bad-request'],
      [{ body: { name: 'a', size: '1GiB', colour: 'red' } }, 400, 'bad-request'],
      [{ body: [] }, 400, 'bad-request'],
      [{ body: {} }, 400, 'bad-request'],
      [{ body: '{', headers: { 'content-type': 'application/json' } }, 400, 'bad-request'],
      [{ body: 'x', headers: { 'content-type': 'text/xml' } }, 415, 'media-type'],
      [{ body: { name: 'a'.repeat(100_000) } }, 413, 'too-large'],
    ];
    for (const [options, status, code] of cases) {
      const answer = await call('POST', '/v1/volumes', options);
      const what = JSON.stringify(options).slice(0, 100);
      expect(answer.type, what).to.include('application/problem+json');
      expect({ status: answer.status, code: answer.body['code'] }, what).to.deep.equal({
        status,
        code,
      });
      expect(answer.body['detail'], what).to.be.a('string').with.length.greaterThan(0);
    }
    expect(shelf.views.size).to.equal(0);
  });

  it('answers the same for what does not exist, in any way', async () => {
    for (const url of [
      '/',
      '/v1/volumes/none',
      '/v1/operations/none',
      '/v1/volumes/none/events',
      '/v1/%00',
      '/v1/volumes/%E0%A4%A',
    ]) {
      const answer = await call('GET', url);
      expect(answer.type, url).to.include('application/problem+json');
      expect(answer.status, url).to.be.oneOf([400, 404]);
    }
    expect((await call('GET', '/v1/volumes/rotten')).body).to.include({
      code: 'record-damaged',
      next: 'put it back',
    });
    expect((await call('GET', '/v1/volumes?cursor=zzz')).body['code']).to.equal('cursor-invalid');
    expect((await call('GET', '/v1/volumes?limit=0')).body['code']).to.equal('bad-request');
  });

  it('wants a token everywhere but for probes and its description', async () => {
    for (const url of ['/v1/volumes', '/v1/status', '/metrics', '/nothing']) {
      const answer = await call('GET', url, { token: null });
      expect(answer.body['code'], url).to.equal('unauthorized');
      expect(answer.headers['www-authenticate']).to.include('Bearer');
      expect((await call('GET', url, { token: 'wrong' })).status, url).to.equal(401);
    }
    expect((await call('GET', '/livez', { token: null })).status).to.equal(200);
    expect((await call('GET', '/readyz', { token: null })).status).to.equal(503);
    expect((await call('GET', '/openapi.json', { token: null })).status).to.equal(200);
  });

  it('lets the read-only token read and nothing else', async () => {
    expect((await call('GET', '/v1/volumes', { token: 'ro' })).status).to.equal(200);
    const body = { name: 'db', size: '1GiB' };
    expect((await call('POST', '/v1/volumes', { token: 'ro', body })).body['code']).to.equal(
      'forbidden',
    );
    expect((await call('DELETE', '/v1/volumes/db', { token: 'ro' })).status).to.equal(403);
    expect(shelf.views.size).to.equal(0);
  });

  it('gives pages that together are the list', async () => {
    for (const name of ['c', 'a', 'e', 'b', 'd']) {
      await shelf.createVolume(
        { name, sizeBytes: 1024 ** 2, replicas: 1 },
        { idempotencyKey: null },
      );
    }
    const names: unknown[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await call('GET', `/v1/volumes?limit=2${query}`);
      names.push(...(body['items'] as VolumeView[]).map(({ name }) => name));
      cursor = body['nextCursor'] as string | null;
    } while (cursor !== null);
    expect(names).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
  });

  it('does a request with an Idempotency-Key once', async () => {
    const headers = { 'idempotency-key': 'k' };
    const body = { name: 'db', size: '1GiB' };
    const first = await call('POST', '/v1/volumes', { body, headers });
    const second = await call('POST', '/v1/volumes', { body, headers });
    expect(second.body['id']).to.equal(first.body['id']);
    const other = await call('POST', '/v1/volumes', { body: { ...body, name: 'x' }, headers });
    expect(other.body['code']).to.equal('idempotency-conflict');
    const again = await call('POST', '/v1/volumes', { body });
    expect(again.body['code']).to.equal('volume-exists');
  });

  it('deletes only the volume that was meant, and none that is in use', async () => {
    const spec = { name: 'db', sizeBytes: 1024 ** 2, replicas: 1 };
    const view = await shelf.createVolume(spec, { idempotencyKey: null });
    const stale = await call('DELETE', '/v1/volumes/db', { headers: { 'if-match': '"other-1"' } });
    expect(stale.body['code']).to.equal('precondition-failed');
    shelf.views.set('db', { ...view, sessions: [{ initiator: 'iqn.x', address: null }] });
    const used = await call('DELETE', '/v1/volumes/db');
    expect(used.body['code']).to.equal('volume-in-use');
    const etag = (await call('GET', '/v1/volumes/db')).headers.etag;
    const forced = await call('DELETE', '/v1/volumes/db?force=true', {
      headers: { 'if-match': String(etag) },
    });
    expect(forced.status).to.equal(202);
  });

  it('scrubs a volume, follows it to its end and says what was found', async () => {
    const missing = await call('POST', '/v1/volumes/db/scrub');
    expect([missing.status, missing.body['code']]).to.deep.equal([404, 'volume-not-found']);
    const spec = { name: 'db', sizeBytes: 1024 ** 2, replicas: 1 };
    await shelf.createVolume(spec, { idempotencyKey: null });
    const begun = await call('POST', '/v1/volumes/db/scrub');
    expect([begun.status, begun.body['kind']]).to.deep.equal([202, 'volume-scrub']);
    let { body } = begun;
    const path = `/v1/operations/${String(body['id'])}`;
    while (body['status'] === 'running') {
      await new Promise((resolve) => setTimeout(resolve, 20));
      ({ body } = await call('GET', path));
    }
    expect(body['message']).to.equal('volume db was not sound; bad blocks: 2; all are repaired');
    const view = await call('GET', '/v1/volumes/db');
    expect(view.body['integrity']).to.deep.include({ repairedBlocks: 2, lostBlocks: 0 });
  });

  it('makes, lists, reverts to and deletes snapshots', async () => {
    const path = '/v1/volumes/db/snapshots';
    const made = await call('POST', path, { body: { name: 'monday' } });
    expect(made.status).to.equal(201);
    expect(made.body).to.include({ name: 'monday', volume: 'db', freedBytes: null, heldMs: 12 });
    const listed = await call('GET', path);
    expect(listed.body['items']).to.have.length(1);
    for (const name of ['Monday', '-', '', 'x'.repeat(64)]) {
      const refused = await call('POST', path, { body: { name } });
      expect([refused.status, refused.body['code']]).to.deep.equal([400, 'name-invalid']);
    }
    const used = await call('POST', `${path}/monday/revert`);
    expect([used.status, used.body['code']]).to.deep.equal([409, 'volume-in-use']);
    const reverted = await call('POST', `${path}/monday/revert?force=true`);
    expect(reverted.body).to.deep.equal({ volume: 'db', snapshot: 'monday', keptAs: 'before' });
    expect((await call('DELETE', `${path}/monday`)).status).to.equal(204);
    const missing = await call('DELETE', `${path}/monday`);
    expect([missing.status, missing.body['code']]).to.deep.equal([404, 'snapshot-not-found']);
  });

  it('describes itself in OpenAPI 3.1 with every route and no dangling reference', async () => {
    const { body } = await call('GET', '/openapi.json');
    expect(body['openapi']).to.equal('3.1.0');
    expect(body['paths']).to.include.keys(
      '/v1/volumes',
      '/v1/volumes/{name}',
      '/v1/volumes/{name}/scrub',
      '/v1/volumes/{name}/snapshots',
      '/v1/volumes/{name}/snapshots/{snapshot}',
      '/v1/volumes/{name}/snapshots/{snapshot}/revert',
      '/v1/operations/{id}',
    );
    const { schemas } = body['components'] as { schemas: object };
    const references = JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g);
    const names = [...references].map((match) => match[1]);
    expect(names).to.include('Volume');
    for (const name of names) expect(schemas).to.have.property(name!);
  });

  it('puts its own and the daemons metrics into one text', async () => {
    await shelf.createVolume(
      { name: 'db', sizeBytes: 1024 ** 2, replicas: 1 },
      { idempotencyKey: null },
    );
    const { body } = await call('GET', '/metrics', { token: 'ro' });
    expect(body['text']).to.include('openebs_volume_state{volume="db",state="healthy"} 1');
    expect(body['text']).to.include('openebs_volume_size_bytes{volume="db"} 7');
  });
});
