/**
 * Goal: a target that is told nonsense says what, why, and what is allowed, and ends.
 * Method: the real daemon, its flags as variables, one of them wrong at a time.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { startTarget, type Flags } from '../support/daemons.ts';
import { until } from '../support/until.ts';

const VOLUME_ID = '11111111-1111-4111-8111-111111111111';

describe('the command line of a target', function () {
  this.timeout(120_000);
  let root: string;
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'openebs-words-'));
    writeFileSync(join(root, 'short'), 'short', { mode: 0o600 });
    writeFileSync(join(root, 'no-json'), 'user: alice, a-secret', { mode: 0o600 });
    writeFileSync(join(root, 'brief'), '{"user":"alice","secret":"brief"}', { mode: 0o600 });
  });
  after(() => rmSync(root, { recursive: true }));

  const saidWith = async (
    env: Record<string, string>,
    flags: Flags = {},
  ): Promise<[number | null, string]> => {
    const right = {
      OPENEBS_VOLUME: 'words',
      OPENEBS_VOLUME_ID: VOLUME_ID,
      OPENEBS_SIZE: '1MiB',
      OPENEBS_REPLICA: `dir:${join(root, 'store')}`,
    };
    const daemon = startTarget(flags, { env: { ...right, ...env } });
    const became = await Promise.race([daemon.exited, daemon.ready.catch(() => daemon.exited)]);
    if (!('code' in became)) await daemon.kill9();
    return [(await daemon.exited).code, daemon.log.join('\n')];
  };

  const wrong: readonly [Record<string, string>, RegExp][] = [
    [{ OPENEBS_VOLUME: 'my_volume' }, /"my_volume" cannot be the end of an iSCSI name.*--iqn/],
    [{ OPENEBS_SIZE: '0' }, /OPENEBS_SIZE.*between 4 KiB and 64 TiB/],
    [{ OPENEBS_REPLICA: 'nonsense' }, /OPENEBS_REPLICA.*unix:\/path/],
    [{ OPENEBS_NULL: 'maybe' }, /OPENEBS_NULL is "maybe"; allowed are 1, true, yes, and 0/],
    [{ OPENEBS_NULL: '1' }, /--null and --replica exclude each other/],
    [{ OPENEBS_CHAP_USER: 'alice' }, /the CHAP user and the secret go/],
    [{ OPENEBS_CHAP_USER: 'alice', OPENEBS_CHAP_SECRET_FILE: 'short' }, /secret.*12/],
    [{ OPENEBS_FIRST_CHAP_FILE: 'no-json' }, /no-json holds no \{"user", "secret"/],
    [{ OPENEBS_FIRST_CHAP_FILE: 'brief' }, /the secret of the CHAP user has 12 to 255/],
    [{ OPENEBS_HOLD_SECONDS: '-1' }, /OPENEBS_HOLD_SECONDS.*from 0 to 86400/],
    [{ OPENEBS_REBUILD_RATE: '0' }, /at least one byte/],
  ];
  for (const [env, words] of wrong) {
    it(`refuses ${JSON.stringify(env)}`, async () => {
      const files = Object.entries(env)
        .filter(([name]) => name.endsWith('_FILE'))
        .map(([name, file]) => [name, join(root, file)]);
      const paths = Object.fromEntries(files) as Record<string, string>;
      const [code, said] = await saidWith({ ...env, ...paths });
      expect(said)
        .to.match(words)
        .and.not.match(/^ {4}at /m);
      expect(code).to.equal(2);
    });
  }

  it('says why it waits for a replica, and who speaks something else than iSCSI', async () => {
    const store = join(root, 'foreign');
    mkdirSync(store);
    writeFileSync(join(store, 'holiday.jpg'), 'mine');
    const flags = { volume: 'words', 'volume-id': VOLUME_ID, size: '1MiB' };
    const waiting = startTarget({ ...flags, replica: `dir:${store}` });
    const told = (): boolean => /not reached.*/.test(waiting.log.join('\n'));
    await until('the reason is told', told);
    await waiting.kill9();
    expect(waiting.log.join('\n')).to.match(/is not empty: it has holiday\.jpg/);
    expect(readdirSync(store)).to.deep.equal(['holiday.jpg']);

    const serving = startTarget({ ...flags, replica: `dir:${join(root, 'served')}` });
    const { portal = '' } = await serving.ready;
    const [host = '', port = ''] = portal.split(':');
    const socket = connect({ host, port: Number(port) });
    socket.on('error', () => undefined).end('GET / HTTP/1.1\r\nHost: a-volume\r\n\r\n'.repeat(3));
    await until('the log names it', () =>
      serving.log.some((line) => line.includes('login failed')),
    );
    await serving.kill9();
  });

  it('says which portal is busy', async () => {
    const busy = createServer().listen(0, '127.0.0.1');
    await once(busy, 'listening');
    try {
      const { port } = busy.address() as AddressInfo;
      const [code, said] = await saidWith({}, { listen: `127.0.0.1:${port}` });
      expect(said).to.match(/cannot open the portal.*stop the other process or choose another/);
      expect(said).to.include(`127.0.0.1:${port}`);
      expect(said).not.to.match(/^ {4}at /m);
      expect(code).to.equal(1);
    } finally {
      busy.close();
    }
  });
});
