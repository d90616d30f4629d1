import { expect } from 'chai';
import { Problem } from '../problem.ts';
import { untilSettled } from './change-routes.ts';
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
  const refusing = async (refusal: string | null): Promise<Shelf> => {
    const shelf = new Shelf();
    const view = await shelf.createVolume(
      { name: 'db', sizeBytes: 1024 ** 2, replicas: 1 },
      { idempotencyKey: null },
    );
    shelf.views.set('db', { ...view, servedSize: 4096, refusal });
    return shelf;
  };

  it('fail in the words of a target that goes on refusing them', async () => {
    const shelf = await refusing('2 of the voters must be connected, 1 is');
    const told: string[] = [];
    const tell = (_: number, message: string): unknown => told.push(message);
    const problem = await untilSettled(shelf, 'db', tell, { refusalMs: 250 }).catch(
      (error: unknown) => error,
    );
    expect(problem).to.be.instanceOf(Problem);
    expect((problem as Problem).code).to.equal('change-refused');
    expect((problem as Problem).message).to.include('2 of the voters must be connected');
    expect(told[0]).to.include('2 of the voters must be connected');
  });

  it('go on when the target takes them after a refusal', async () => {
    const shelf = await refusing('not now');
    const taken = (): void => {
      shelf.views.set('db', { ...shelf.views.get('db')!, servedSize: null, refusal: null });
    };
    expect(await untilSettled(shelf, 'db', taken, { refusalMs: 60_000 })).to.include('all in sync');
  });
});
