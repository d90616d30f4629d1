import { expect } from 'chai';
import { appOver, Shelf } from './shelf.test-support.ts';

describe('changes of a volume over the API', function () {
  this.timeout(20_000);

  it('change only the volume that was seen, and one of two who have seen the same', async () => {
    const shelf = new Shelf();
    const app = await appOver(shelf);
    await shelf.createVolume(
      { name: 'db', sizeBytes: 1024 ** 2, replicas: 1 },
      { idempotencyKey: null },
    );
    const url = '/v1/volumes/db';
    const authorization = 'Bearer adm';
    const grow = async (ifMatch: string, sizeBytes: number): Promise<number> => {
      const headers = { authorization, 'if-match': ifMatch };
      return (await app.inject({ method: 'PATCH', url, headers, payload: { sizeBytes } }))
        .statusCode;
    };
    const seen = await app.inject({ method: 'GET', url, headers: { authorization } });
    const etag = String(seen.headers['etag']);
    expect(await grow('"another"', 2 * 1024 ** 2)).to.equal(412);
    expect(shelf.changes).to.have.length(0);
    const both = await Promise.all([grow(etag, 2 * 1024 ** 2), grow(etag, 3 * 1024 ** 2)]);
    expect(both.sort()).to.deep.equal([202, 412]);
    expect(shelf.changes).to.have.length(1);
    expect(await grow('*', 4 * 1024 ** 2)).to.equal(202);
    await app.close();
  });
});
