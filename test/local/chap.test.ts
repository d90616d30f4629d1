/**
 * Goal: a volume that demands a proof does so from its first moment, after every crash, and in its
 * clones; and nobody is told the secrets. Method: npm start, mayactl, real logins.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openSession } from '../initiator/connect.ts';
import { until } from '../support/until.ts';
import { LocalSystem } from './local-system.ts';

const FIRST = 'the-first-secret';
const MUTUAL = 'the-mutual-secret';
const SECOND = 'the-second-secret';

describe('a volume with CHAP', function () {
  this.timeout(180_000);
  let root: string;
  let system: LocalSystem;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-chap-'));
    for (const [name, secret] of Object.entries({ FIRST, MUTUAL, SECOND })) {
      writeFileSync(join(root, name), `${secret}\n`, { mode: 0o600 });
    }
    system = await LocalSystem.start(join(root, 'd'), ['--no-demo']);
  });
  after(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  const told: string[] = [];
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await system.mayactl(...args);
    told.push(stdout, stderr);
    expect(code, `mayactl ${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };

  const login = async (name: string, secret: string | null): Promise<boolean> => {
    const { portal, iqn } = await system.volume(name);
    const [host = '', port = ''] = portal.split(':');
    const chap = secret === null ? {} : { chap: { user: 'alice', secret } };
    try {
      const session = await openSession({ host, port: Number(port), targetName: iqn, ...chap });
      await session.logout();
      return true;
    } catch {
      return false;
    }
  };

  const expectOnly = async (name: string, right: string): Promise<void> => {
    expect(await login(name, right), 'the right secret').to.equal(true);
    for (const wrong of [FIRST, SECOND, MUTUAL, null]) {
      if (wrong !== right) expect(await login(name, wrong), String(wrong)).to.equal(false);
    }
  };

  it('demands it at once, after a crash, after a change, and in its clone', async () => {
    const file = (name: string): string => join(root, name);
    await run(
      ...['volume', 'create', 'v', '--size', '16MiB', '--chap-user', 'alice'],
      ...['--chap-secret-file', file('FIRST'), '--mutual-chap-user', 'volume'],
      ...['--mutual-chap-secret-file', file('MUTUAL')],
    );
    await expectOnly('v', FIRST);
    expect(await run('volume', 'info', 'v')).to.match(/^CHAP +: alice, and mutual as volume$/m);
    expect(await run('volume', 'connect', 'v')).to.include('USERNAME=alice\n');
    // The replicas keep it, and nothing else does.
    const directory = join(root, 'd', 'volumes', 'v');
    await until('the files of the secrets are gone', () =>
      readdirSync(directory).every((name) => !name.includes('secret')),
    );
    await system.kill9All();
    system = await LocalSystem.start(join(root, 'd'), ['--no-demo']);
    await system.volumeBeing('v', 'healthy');
    await expectOnly('v', FIRST);

    await run('clone', 'create', 'copy', '--from', 'v');
    await expectOnly('copy', FIRST);
    await run(
      'volume',
      'set-chap',
      'v',
      '--chap-user',
      'alice',
      '--chap-secret-file',
      file('SECOND'),
    );
    await expectOnly('v', SECOND);
    await expectOnly('copy', FIRST);
    system.kill9('v.target');
    await system.saying(/v: target runs again/);
    await system.volumeBeing('v', 'healthy');
    await expectOnly('v', SECOND);
    await run('volume', 'set-chap', 'v', '--none');
    expect(await login('v', null)).to.equal(true);
    const none = await system.mayactl('volume', 'set-chap', 'v');
    expect(none.code).to.equal(2);

    const api = await Promise.all(
      ['/v1/volumes', '/v1/events', '/v1/operations'].map(async (path) =>
        (await system.api(path)).text(),
      ),
    );
    const logs = join(root, 'd', 'logs');
    const logged = readdirSync(logs, { recursive: true, encoding: 'utf8' })
      .map((name) => join(logs, name))
      .filter((path) => statSync(path).isFile())
      .map((path) => readFileSync(path, 'utf8'));
    const text = [...told, ...api, ...logged, system.output].join('\n');
    for (const secret of [FIRST, MUTUAL, SECOND]) expect(text).not.to.include(secret);
  });
});
