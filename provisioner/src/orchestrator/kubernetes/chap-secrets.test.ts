import { expect } from 'chai';
import { FakeKubeApi } from '../../kubernetes/fake-kube-api.test-support.ts';
import { settle, VirtualClock } from '../../kubernetes/virtual-clock.test-support.ts';
import { CHAP_SECRET_TYPE, SECRETS } from './chap-secret.ts';
import { ChapSecrets, ChapSecretUnfit } from './chap-secrets.ts';
import { chapKeys, chapSecret } from './chap-secret.test-support.ts';

const PASSWORD = 'a-secret-of-12';

describe('CHAP Secrets', () => {
  const stop = new AbortController();
  let api: FakeKubeApi;
  let secrets: ChapSecrets;

  const watch = (namespaces: readonly string[]): ChapSecrets => {
    const options = { api, clock: new VirtualClock(), log: () => undefined };
    const made = new ChapSecrets({ ...options, namespaces });
    void made.run(stop.signal);
    return made;
  };

  const said = async (keys: Record<string, string>, namespace = 'shop'): Promise<string> => {
    await api.remove(SECRETS, { namespace, name: 'orders' });
    await api.create(SECRETS, chapSecret(namespace, 'orders', keys));
    await settle();
    try {
      return JSON.stringify(secrets.read({ namespace, name: 'orders' }).chap);
    } catch (error) {
      expect(error).to.be.instanceOf(ChapSecretUnfit);
      expect((error as Error).message, 'no credentials in words').not.to.include(PASSWORD);
      return (error as Error).message;
    }
  };

  beforeEach(() => {
    api = new FakeKubeApi();
    secrets = watch(['shop', 'vault']);
  });

  after(() => stop.abort());

  it('say who may log in, and as whom the volume proves itself', async () => {
    const user = { user: 'alice', secret: PASSWORD };
    expect(await said(chapKeys('alice', PASSWORD))).to.equal(
      JSON.stringify({ ...user, mutualUser: null, mutualSecret: null }),
    );
    expect(await said(chapKeys('alice', PASSWORD, 'volume', 'another-secret'))).to.equal(
      JSON.stringify({ ...user, mutualUser: 'volume', mutualSecret: 'another-secret' }),
    );
  });

  it('are refused where keys are missing, differ or cannot be used', async () => {
    const right = chapKeys('alice', PASSWORD);
    const half = { ...right, 'node.session.auth.password': '' };
    expect(await said(half)).to.include('has no node.session.auth.password');
    const keys = Object.entries(right).filter(([key]) => key.startsWith('node.'));
    expect(await said(Object.fromEntries(keys))).to.include(
      'has no discovery.sendtargets.auth.username',
    );
    const other = { ...right, 'discovery.sendtargets.auth.password': 'something-else' };
    expect(await said(other)).to.include('says another password at discovery');
    const lone = { ...right, 'node.session.auth.username_in': 'volume' };
    expect(await said(lone)).to.include('says another username_in at discovery');
    const onlyUser = { ...lone, 'discovery.sendtargets.auth.username_in': 'volume' };
    expect(await said(onlyUser)).to.include('a mutual CHAP user and its secret go together');
    expect(await said(chapKeys('alice', 'too-short'))).to.include('12 to 255 bytes');
    expect(await said(chapKeys('alice', `${PASSWORD}\n`))).to.include('is one line');
    const same = chapKeys('alice', PASSWORD, 'volume', PASSWORD);
    expect(await said(same)).to.include('the two CHAP secrets must differ');
  });

  it('are refused where they are not there, are of another type, or nobody may read them', async () => {
    await settle();
    const why = (from: ChapSecrets, namespace: string): string => {
      try {
        return JSON.stringify(from.read({ namespace, name: 'orders' }));
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(why(secrets, 'shop')).to.include(`no Secret shop/orders of type ${CHAP_SECRET_TYPE}`);
    const opaque = { ...chapSecret('shop', 'orders', chapKeys('a', PASSWORD)), type: 'Opaque' };
    await api.create(SECRETS, opaque);
    await settle();
    expect(why(secrets, 'shop')).to.include('one of another type is to be made anew');
    expect(why(secrets, 'other')).to.include('chap.secretNamespaces');
    expect(why(secrets, 'other')).to.include('only of: shop, vault');
    await api.create(SECRETS, chapSecret('other', 'orders', chapKeys('alice', PASSWORD)));
    const all = watch(['shop', '*']);
    expect(why(all, 'other')).to.include('could not be read yet');
    await settle();
    expect(why(all, 'other')).to.include('alice');
  });
});
