/**
 * Goal: who may log in is the volume's affair: a target that is started with nothing but the
 * addresses of the replicas demands the same proof. Method: real daemons; logins with right and
 * wrong secrets; everything that the daemons say is searched for the secrets.
 */
import { statSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import type { SessionOptions } from '../initiator/connect.ts';
import { openSession } from '../initiator/connect.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { controlFlags, order } from '../snapshots/control.ts';

const SIZE_BYTES = 8 * 1024 * 1024;
const SECRETS = ['first-secret-of-12', 'mutual-secret-of-12', 'second-secret-of-12'] as const;
const [FIRST, MUTUAL, SECOND] = SECRETS;

describe('the settings of a volume', function () {
  this.timeout(90_000);
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume;
  /** Read at each start of a target. */
  let flags: Record<string, string>;

  beforeEach(() => {
    for (const [index, secret] of SECRETS.entries()) {
      writeFileSync(`${directory.path}/secret-${index}`, `${secret}\n`, { mode: 0o600 });
    }
    flags = { ...(controlFlags(directory.path) as Record<string, string>) };
    volume = new ReplicatedVolume({
      directory: `${directory.path}/${Math.random().toString(36).slice(2, 8)}`,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
      targetFlags: flags,
    });
  });
  afterEach(() => volume.stop());
  after(() => directory.remove());

  const withChap = (): void => {
    flags['chap-user'] = 'alice';
    flags['chap-secret-file'] = `${directory.path}/secret-0`;
    flags['mutual-chap-user'] = 'volume';
    flags['mutual-chap-secret-file'] = `${directory.path}/secret-1`;
    flags['portal'] = '192.0.2.7:3260';
  };

  const withoutChap = (): void => {
    for (const name of Object.keys(flags)) {
      if (/chap|portal/.test(name)) Reflect.deleteProperty(flags, name);
    }
  };

  const login = async (chap: Pick<SessionOptions, 'chap' | 'mutualChap'>): Promise<string> => {
    try {
      await (await openSession({ ...volume.portal, ...chap })).logout();
      return 'in';
    } catch (error) {
      return (error as Error).message;
    }
  };

  const alice = (secret: string) => ({ chap: { user: 'alice', secret } });

  const expectAlice = async (secret: string, others: readonly string[]): Promise<void> => {
    expect(await login(alice(secret))).to.equal('in');
    expect(await login({}), 'without a proof').not.to.equal('in');
    for (const other of others) expect(await login(alice(other)), other).not.to.equal('in');
    expect(await login({ chap: { user: 'bob', secret } }), 'another user').not.to.equal('in');
  };

  const expectNoSecrets = (words: readonly string[]): void => {
    const text = words.join('\n');
    for (const secret of SECRETS) expect(text.includes(secret), 'a secret is told').to.equal(false);
  };

  it('go to every later target, which needs no flags for them', async () => {
    withChap();
    await volume.start();
    await expectAlice(FIRST, [MUTUAL]);
    const log = [...volume.target.daemon.log];
    await volume.target.daemon.kill9();
    withoutChap();
    await volume.startTarget();
    await expectAlice(FIRST, [MUTUAL]);
    const mutual = { ...alice(FIRST), mutualChap: { user: 'volume', secret: MUTUAL } };
    expect(await login(mutual)).to.equal('in');
    const wrong = { ...alice(FIRST), mutualChap: { user: 'volume', secret: SECOND } };
    expect(await login(wrong)).not.to.equal('in');
    const { body } = await order(volume, 'GET', '/v1/settings');
    expect(body).to.deep.equal({
      chap: { user: 'alice', mutualUser: 'volume' },
      portals: ['192.0.2.7:3260'],
      rebuildBytesPerSecond: null,
    });
    const status = await order(volume, 'GET', '/v1/status');
    log.push(...volume.target.daemon.log, JSON.stringify(status.body));
    for (const [index, replica] of volume.replicas.entries()) {
      log.push(...(replica?.daemon.log ?? []));
      const told = await fetch(`http://${replica?.ready.control ?? ''}/v1/status`);
      log.push(await told.text());
      const superblock = volume.imagePath(index).replace('000001.img', 'superblock');
      expect(statSync(superblock).mode & 0o777).to.equal(0o600);
    }
    expectNoSecrets(log);
  });

  it('stay when the replicas that were there when they were made are a minority later', async () => {
    await volume.start();
    await volume.replicas[2]!.daemon.kill9();
    const chap = { user: 'alice', secret: FIRST };
    expect((await order(volume, 'PUT', '/v1/settings', { chap })).status).to.equal(200);
    await volume.target.daemon.kill9();
    await volume.startReplica(2);
    await volume.replicas[0]!.daemon.kill9();
    await volume.startTarget();
    await expectAlice(FIRST, [SECOND]);
  });

  it('are those of a file at the first start only: what was kept since counts more', async () => {
    const file = `${directory.path}/first-chap.json`;
    writeFileSync(file, JSON.stringify({ user: 'alice', secret: FIRST }), { mode: 0o600 });
    flags['first-chap-file'] = file;
    await volume.start();
    await expectAlice(FIRST, [SECOND]);
    const chap = { user: 'alice', secret: SECOND, mutualUser: 'volume', mutualSecret: MUTUAL };
    expect((await order(volume, 'PUT', '/v1/settings', { chap })).status).to.equal(200);
    await volume.target.daemon.kill9();
    await volume.startTarget();
    await expectAlice(SECOND, [FIRST]);
    expectNoSecrets(volume.target.daemon.log);
  });

  it('change while it serves: whoever is logged in stays, new logins need the new proof', async () => {
    withChap();
    await volume.start();
    const before = await openSession({ ...volume.portal, ...alice(FIRST) });
    const changed = await order(volume, 'PUT', '/v1/settings', {
      chap: { user: 'alice', secret: SECOND },
    });
    expect(changed.body).to.deep.equal({
      chap: { user: 'alice', mutualUser: null },
      portals: ['192.0.2.7:3260'],
      rebuildBytesPerSecond: null,
    });
    await expectAlice(SECOND, [FIRST]);
    await before.logout();
    await volume.target.daemon.kill9();
    withoutChap();
    await volume.startTarget();
    await expectAlice(SECOND, [FIRST]);
    for (const chap of [
      { user: 'alice' },
      { user: 'alice', secret: 'too-short' },
      { user: '', secret: FIRST },
      { user: 'alice', secret: FIRST, mutualUser: 'volume', mutualSecret: FIRST },
    ]) {
      const refused = await order(volume, 'PUT', '/v1/settings', { chap });
      expect(refused.status, JSON.stringify(chap)).to.equal(400);
      expectNoSecrets([JSON.stringify(refused.body)]);
    }
    expect((await order(volume, 'PUT', '/v1/settings', { colour: 'red' })).status).to.equal(400);
    await expectAlice(SECOND, [FIRST]);
    expect((await order(volume, 'PUT', '/v1/settings', { chap: null })).status).to.equal(200);
    expect(await login({})).to.equal('in');
    await volume.target.daemon.kill9();
    await volume.startTarget();
    expect(await login({})).to.equal('in');
    expectNoSecrets(volume.target.daemon.log);
  });
});
