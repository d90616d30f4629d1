/**
 * Goal: what keeps the system from starting or a volume from being made is said in words, with what
 * to do.
 * Method: each obstacle for real: permissions, file systems mounted read-only and full, busy ports,
 * damaged files.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LocalSystem, mayactl, tryStart } from './local-system.ts';

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

describe('a start that cannot be', function () {
  this.timeout(120_000);
  let root: string;
  const mounts: string[] = [];

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'openebs-no-'));
    chmodSync(root, 0o755);
  });
  afterEach(() => {
    for (const path of mounts.splice(0)) execFileSync('umount', [path]);
    rmSync(root, { recursive: true, force: true });
  });

  function mountMemory(options: string): string {
    const path = join(root, 'm');
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
    mounts.push(path);
    return path;
  }

  async function expectRefusal(
    directory: string,
    words: RegExp,
    options: { uid?: number } = {},
  ): Promise<void> {
    const { code, stderr } = await tryStart(
      ['--data-dir', directory, '--api-port', '0', '--iscsi-port', '0'],
      options,
    );
    expect(stderr).to.match(words);
    expect(stderr).to.match(/\n {2}next: /);
    expect(stderr).to.not.include('    at ');
    expect(code).to.equal(1);
  }

  it('names a directory that the user may not write', async () => {
    const directory = join(root, 'd');
    mkdirSync(directory, { mode: 0o555 });
    const options = isRoot ? { uid: NOBODY } : {};
    await expectRefusal(directory, /no permission to write .*chown/s, options);
    await expectRefusal(join(directory, 'below'), /no permission to write/, options);
  });

  it('names a read-only file system', async function () {
    if (!isRoot) this.skip();
    await expectRefusal(mountMemory('ro'), /is mounted read-only/);
  });

  it('names a full disk', async function () {
    if (!isRoot) this.skip();
    const path = mountMemory('size=1m');
    await expectRefusal(path, /only [\d.]+ [KM]iB are free/);
  });

  it('names a path that is no directory', async () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    await expectRefusal(file, /is not a directory/);
    await expectRefusal(join(file, 'below'), /is not a directory/);
    await expectRefusal('/proc/openebs', /cannot be made/);
  });

  it('names wrong usage, with exit code 2', async () => {
    for (const args of [
      ['--data-dir', ''],
      ['--api-port', 'x'],
      ['--api-port', '70000'],
      ['--nothing'],
      ['extra'],
    ]) {
      const { code, stderr } = await tryStart(['--data-dir', join(root, 'd'), ...args]);
      expect(code, args.join(' ')).to.equal(2);
      expect(stderr).to.match(/^error: /);
    }
    const maybe = await tryStart(['--data-dir', join(root, 'd')], {
      env: { OPENEBS_NO_DEMO: 'maybe' },
    });
    expect(maybe.code).to.equal(2);
    expect(maybe.stderr).to.match(/^error: OPENEBS_NO_DEMO is "maybe"; allowed are 1, true, yes/);
    expect(existsSync(join(root, 'd'))).to.equal(false);
    expect((await mayactl(['--data-dir', '', 'status'])).code).to.equal(2);
  });

  it('is followed by a command line that helps, of mayactl too', async () => {
    const directory = join(root, 'd');
    const wrong = await mayactl(['volume', 'create', 'db']);
    expect(wrong.code).to.equal(2);
    expect(wrong.stderr).to.match(/--size.*\n {2}next: mayactl volume create --help\n$/);
    const system = await LocalSystem.start(directory, ['--no-demo']);
    try {
      const { code, stderr } = await system.mayactl('volume', 'info', 'none');
      expect(code).to.equal(3);
      expect(stderr).to.include(`next: mayactl --data-dir ${directory} volume list\n`);
      const list = await system.mayactl('volume', 'list');
      expect(list.stdout).to.include(`mayactl --data-dir ${directory} volume create`);
      // Also without a system there is something to send.
      await system.stop();
      const file = join(root, 'dump.tar.gz');
      const dump = await system.mayactl('dump', '--file', file);
      expect(dump.code, dump.stderr).to.equal(0);
      expect(dump.stdout).to.include('left out: what the system says: no OpenEBS runs in');
    } finally {
      await system.stop();
    }
  });

  it('is told of the system that has the directory, which goes on', async () => {
    const system = await LocalSystem.start(join(root, 'd'), ['--no-demo']);
    try {
      await expectRefusal(join(root, 'd'), /OpenEBS runs in .* already \(process \d+, http/);
      expect((await system.mayactl('status')).code).to.equal(0);
    } finally {
      await system.stop();
    }
  });

  it('takes free ports where the wanted ones are busy, and says so', async () => {
    const busy = await Promise.all([occupied(), occupied()]);
    const [api, iscsi] = busy.map((server) => (server.address() as AddressInfo).port);
    const args = ['--api-port', String(api), '--iscsi-port', String(iscsi)];
    const system = await LocalSystem.start(join(root, 'd'), args);
    try {
      expect(system.output).to.include(`(port ${api} is busy)`);
      expect(system.output).to.include(`port ${iscsi} was busy when the portal was chosen`);
      expect((await system.volumeBeing('demo', 'healthy')).portal).to.not.include(`:${iscsi}`);
    } finally {
      await system.stop();
      for (const server of busy) server.close();
    }
  });

  it('serves a volume at another port while its own is busy, and goes back to it', async () => {
    let system = await LocalSystem.start(join(root, 'd'));
    const { portal } = await system.volume('demo');
    await system.stop();
    const port = Number(portal.split(':')[1]);
    const busy = await occupied(port);
    system = await LocalSystem.start(join(root, 'd'));
    try {
      expect((await system.volumeBeing('demo', 'healthy')).portal).to.not.equal(portal);
      expect(system.output).to.match(new RegExp(`port ${port} is busy`));
      await system.stop();
      await new Promise((resolve) => busy.close(resolve));
      system = await LocalSystem.start(join(root, 'd'));
      expect((await system.volume('demo')).portal).to.equal(portal);
    } finally {
      busy.close();
      await system.stop();
    }
  });

  it('serves the others when a record is damaged, names it, and leaves it alone', async () => {
    const directory = join(root, 'd');
    let system = await LocalSystem.start(directory);
    await system.mayactl('volume', 'create', 'good', '--size', '1MiB', '--replicas', '1');
    await system.stop();
    const file = join(directory, 'volumes', 'demo', 'volume.json');
    const record = readFileSync(file, 'utf8');
    writeFileSync(file, record.slice(0, 50));
    system = await LocalSystem.start(directory);
    try {
      expect(system.output).to.include(file);
      await system.volumeBeing('good', 'healthy');
      const info = await system.mayactl('volume', 'info', 'demo');
      expect(info.code).to.equal(4);
      expect(info.stderr).to.include('not JSON').and.to.include('put a good copy');
      for (const args of [
        ['create', 'demo', '--size', '1MiB'],
        ['delete', 'demo', '--yes'],
      ]) {
        expect((await system.mayactl('volume', ...args)).code, args[0]).to.equal(4);
      }
      expect((await system.mayactl('volume', 'list')).stderr).to.include(file);
      expect((await system.mayactl('status')).code).to.equal(6);
      await system.stop();
      writeFileSync(file, record);
      system = await LocalSystem.start(directory);
      await system.volumeBeing('demo', 'healthy');
    } finally {
      await system.stop();
    }
  });

  it('makes no volume on a full disk, but serves and deletes the others', async function () {
    if (!isRoot) this.skip();
    const path = mountMemory('size=64m');
    let system = await LocalSystem.start(path, ['--no-demo']);
    try {
      const small = ['volume', 'create', 'small', '--size', '4MiB', '--replicas', '1'];
      expect((await system.mayactl(...small)).code).to.equal(0);
      fill(join(path, 'ballast'));
      const refused = await system.mayactl('volume', 'create', 'more', '--size', '1MiB');
      expect(refused.code).to.equal(1);
      expect(refused.stderr).to.match(/are free on the file system of[^]*next: free some/);
      expect(existsSync(join(path, 'volumes', 'more'))).to.equal(false);
      await system.stop();
      system = await LocalSystem.start(path, ['--no-demo']);
      await system.volumeBeing('small', 'healthy');
      const deleted = await system.mayactl('volume', 'delete', 'small', '--yes');
      expect(deleted.code, deleted.stderr).to.equal(0);
    } finally {
      await system.stop();
    }
  });

  it('lets nobody else read its tokens, and nobody in without one', async () => {
    const directory = join(root, 'd');
    const system = await LocalSystem.start(directory, ['--no-demo']);
    try {
      const { apiUrl } = JSON.parse(readFileSync(join(directory, 'server.json'), 'utf8')) as {
        apiUrl: string;
      };
      expect(statSync(join(directory, 'token')).mode & 0o777).to.equal(0o600);
      expect(statSync(join(directory, 'token-read-only')).mode & 0o777).to.equal(0o600);
      expect((await fetch(`${apiUrl}/v1/volumes`)).status).to.equal(401);
      const wrong = await mayactl(['--server', apiUrl, '--token', 'wrong', 'volume', 'list']);
      expect(wrong.code).to.equal(1);
      expect(wrong.stderr).to.match(/no valid bearer token[^]*next: .*--token TOKEN/);
      const reader = readFileSync(join(directory, 'token-read-only'), 'utf8').trim();
      const remote = ['--server', apiUrl, '--token', reader, 'volume'];
      expect((await mayactl([...remote, 'list'])).code).to.equal(0);
      const denied = await mayactl([...remote, 'create', 'x', '--size', '1MiB']);
      expect(denied.stderr).to.include('may only read');
      if (isRoot) {
        const other = await mayactl(['--data-dir', directory, 'volume', 'list'], { uid: NOBODY });
        expect(other.code).to.equal(1);
        expect(other.stderr).to.match(/cannot be read[^]*next: run mayactl as the user/);
      }
    } finally {
      await system.stop();
    }
  });
});

async function occupied(port = 0): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return server;
}

/** Until nothing fits any more. */
function fill(path: string): void {
  try {
    execFileSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=64k'], { stdio: 'ignore' });
  } catch {
    // It ends because the disk is full.
  }
}
