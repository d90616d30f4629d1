/**
 * Goal: a replica daemon starts, stops and dies as people expect, and says what to do when it
 * cannot start. Method: real daemons on directories that were prepared for the occasion, a small
 * tmpfs for the full disk.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  openSync,
  statSync,
  writeSync,
} from 'node:fs';
import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Daemon, Flags, SpawnOptions } from '../support/daemons.ts';
import { REPOSITORY, startReplica, temporaryDirectory } from '../support/daemons.ts';
import { ReplicaClient } from '../support/replica-client.ts';

const NOBODY = 65534;

describe('the life of a replica daemon', () => {
  const volumeId = randomUUID();
  let directory: ReturnType<typeof temporaryDirectory>;
  const daemons: Daemon[] = [];

  beforeEach(() => {
    directory = temporaryDirectory();
  });

  afterEach(async () => {
    await Promise.all(daemons.splice(0).map((daemon) => daemon.kill9()));
    directory.remove();
  });

  const start = (flags: Flags = {}, options: SpawnOptions = {}): Daemon => {
    const daemon = startReplica(
      { dir: join(directory.path, 'r1'), 'volume-id': volumeId, size: '64MiB', ...flags },
      options,
    );
    daemons.push(daemon);
    return daemon;
  };

  /** Starts a daemon that must not come up; returns what it said. */
  const refuses = async (flags: Flags = {}, options: SpawnOptions = {}): Promise<string> => {
    const daemon = start(flags, options);
    const exit = await daemon.exited;
    expect(exit.code, daemon.log.join('\n')).to.equal(1);
    return daemon.log.join('\n');
  };

  const connect = async (daemon: Daemon, epoch: number): Promise<ReplicaClient> => {
    const { listen } = await daemon.ready;
    return ReplicaClient.serve(listen!, volumeId, { epoch, session: 1 });
  };

  const status = async (daemon: Daemon): Promise<{ state: Record<string, unknown> }> => {
    const { control } = await daemon.ready;
    return (await (await fetch(`http://${control}/v1/status`)).json()) as {
      state: Record<string, unknown>;
    };
  };

  it('says bye, flushes and is clean at the next start after SIGTERM', async () => {
    const first = start();
    const client = await connect(first, 1);
    const data = randomBytes(65536);
    client.write(1, 0, data);
    await client.acked(1);
    const stopped = first.stop();
    await client.next('bye');
    client.end();
    expect(await stopped).to.deep.equal({ code: 0, signal: null });
    const second = start();
    expect((await status(second)).state).to.include({ cleanStart: true });
    const again = await connect(second, 2);
    expect((await again.read(0, data.length)).payload.equals(data)).to.equal(true);
    again.end();
  });

  it('answers what arrived before SIGTERM', async () => {
    const daemon = start();
    const client = await connect(daemon, 1);
    client.write(1, 0, Buffer.alloc(4096, 1));
    client.frame({ kind: 'flush', requestId: 9 });
    await client.acked(1);
    const stopped = daemon.stop();
    await client.next((frame) => frame.kind === 'done' && frame.requestId === 9);
    await client.next('bye');
    client.end();
    expect((await stopped).code).to.equal(0);
  });

  it('has all that it acknowledged after kill -9, and says that it was not closed', async () => {
    const first = start();
    const client = await connect(first, 1);
    const data = randomBytes(1024 * 1024);
    for (let index = 0; index < 16; index++) {
      client.write(index + 1, index * 65536, data.subarray(index * 65536, (index + 1) * 65536));
    }
    await client.acked(16);
    await first.kill9();
    client.end();
    const second = start();
    expect((await status(second)).state).to.include({ cleanStart: false, sameBoot: true });
    const again = await connect(second, 2);
    const answer = await again.read(0, data.length);
    expect(answer.payload.equals(data)).to.equal(true);
    again.end();
  });

  it('serves as a witness what votes need, and has no data', async () => {
    const daemon = start({ role: 'witness' });
    const client = await connect(daemon, 3);
    const put = { kind: 'document-put', name: 'settings', content: Buffer.from('x') } as const;
    expect((await client.requestMessage(put)).kind).to.equal('done');
    const read = await client.read(0, 4096);
    expect(read.message).to.include({ kind: 'failed-request', code: 'WITNESS_HAS_NO_DATA' });
    client.write(1, 0, Buffer.alloc(512));
    expect((await client.next('failed')).message).to.include({ code: 'WITNESS_HAS_NO_DATA' });
    await client.closed;
    expect((await daemon.stop()).code).to.equal(0);
  });

  it('keeps its promise over a restart', async () => {
    const first = start();
    (await connect(first, 41)).end();
    await first.kill9();
    const second = start();
    const client = await ReplicaClient.connect((await second.ready).listen!, volumeId);
    await client.hello();
    expect((await client.promise({ epoch: 40, session: 1 })).kind).to.equal('fenced');
    client.end();
  });

  it('takes over unix sockets of the dead, and leaves those of the living', async () => {
    const flags = {
      listen: `unix:${join(directory.path, 'data.sock')}`,
      control: `unix:${join(directory.path, 'control.sock')}`,
    };
    const first = start(flags);
    await first.ready;
    expect(statSync(join(directory.path, 'data.sock')).mode & 0o777).to.equal(0o600);
    const said = await refuses({ ...flags, dir: join(directory.path, 'r2') });
    expect(said).to.include('ADDRESS_IN_USE').and.to.include('another process listens there');
    await first.kill9();
    const second = start(flags);
    await second.ready;
    (await connect(second, 1)).end();
  });

  it('does not start where a port is taken', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const said = await refuses({ listen: `127.0.0.1:${port}` });
    server.close();
    expect(said).to.include(`cannot listen on 127.0.0.1:${port}: another process uses it`);
  });

  it('is alone on its directory', async () => {
    await start().ready;
    expect(await refuses()).to.include('LOCKED');
  });

  it('does not touch the directory of another volume, nor of a larger one', async () => {
    await (await readyAfter(start())).stop();
    expect(await refuses({ 'volume-id': randomUUID() })).to.include('WRONG_VOLUME');
    expect(await refuses({ size: '4MiB' })).to.include('WRONG_SIZE');
    expect(await refuses({ 'replica-id': randomUUID() })).to.include('WRONG_VOLUME');
    await start().ready;
  });

  it('survives one damaged superblock slot and says so', async () => {
    await (await readyAfter(start())).stop();
    damage(join(directory.path, 'r1', 'superblock'), 100);
    const daemon = start();
    await daemon.ready;
    expect(daemon.log.join('\n')).to.include('does not pass its checksum');
  });

  it('does not start on a superblock whose slots are both damaged', async () => {
    await (await readyAfter(start())).stop();
    const path = join(directory.path, 'r1', 'superblock');
    writeFileSync(path, Buffer.alloc(statSync(path).size, 0xa5));
    expect(await refuses()).to.include('SUPERBLOCK_DAMAGED');
  });

  it('says which directory it may not write', async function () {
    const isRoot = process.getuid?.() === 0;
    if (isRoot && !isReachableByOthers(REPOSITORY)) this.skip();
    chmodSync(directory.path, 0o755);
    const parent = join(directory.path, 'closed');
    mkdirSync(parent, { mode: 0o555 });
    const said = await refuses({ dir: join(parent, 'r1') }, isRoot ? { uid: NOBODY } : {});
    expect(said).to.include('PERMISSION_DENIED').and.to.include(parent);
  });

  it('takes no writes on a full disk, says why, and goes on reading', async function () {
    const mount = join(directory.path, 'small');
    mkdirSync(mount);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount], { stdio: 'ignore' });
    } catch {
      this.skip();
    }
    try {
      const daemon = start({ dir: join(mount, 'r1') });
      const client = await connect(daemon, 1);
      const chunk = Buffer.alloc(1024 * 1024, 1);
      client.write(1, 0, chunk);
      await client.acked(1);
      for (let index = 1; index < 16; index++) client.write(index + 1, index * chunk.length, chunk);
      expect((await client.next('failed')).message).to.include({ code: 'NO_SPACE' });
      const answer = await client.read(0, chunk.length);
      expect(answer.payload.equals(chunk)).to.equal(true);
      const { control } = await daemon.ready;
      expect((await fetch(`http://${control}/readyz`)).status).to.equal(503);
      client.end();
      expect((await daemon.stop()).signal).to.equal(null);
    } finally {
      await Promise.all(daemons.splice(0).map((daemon) => daemon.kill9()));
      execFileSync('umount', [mount]);
    }
  });

  it('says on a wrong command line what is allowed, with code 2', async () => {
    const missing = startReplica({ 'volume-id': volumeId, size: '1GiB' });
    expect((await missing.exited).code).to.equal(2);
    expect(missing.log.join('\n')).to.include("required option '--dir <directory>'");
    const size = start({ size: '12 apples' });
    expect((await size.exited).code).to.equal(2);
    expect(size.log.join('\n')).to.include('1GiB');
  });

  it('takes its options from the environment', async () => {
    const daemon = startReplica(
      {},
      {
        env: {
          OPENEBS_DIR: join(directory.path, 'r1'),
          OPENEBS_VOLUME_ID: volumeId,
          OPENEBS_SIZE: '64Mi',
        },
      },
    );
    daemons.push(daemon);
    await daemon.ready;
  });

  it('counts a repeated signal as one, and ends with code 0', async () => {
    const daemon = await readyAfter(start());
    daemon.child.kill('SIGINT');
    daemon.child.kill('SIGTERM');
    expect(await daemon.exited).to.deep.equal({ code: 0, signal: null });
  });

  it('is idle below 60 MB', async () => {
    // The first start fills the compile cache.
    await (await readyAfter(start())).stop();
    const daemon = await readyAfter(start());
    const resident = /VmRSS:\s+(\d+)/.exec(
      readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8'),
    );
    expect(Number(resident?.[1])).to.be.lessThan(60_000);
  });
});

const readyAfter = async (daemon: Daemon): Promise<Daemon> => {
  await daemon.ready;
  return daemon;
};

const damage = (path: string, at: number): void => {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(16, 0xa5), 0, 16, at);
  closeSync(file);
};

const isReachableByOthers = (path: string): boolean => {
  for (let at = path; ; at = join(at, '..')) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
    if (at === '/') break;
  }
  accessSync(process.execPath, constants.X_OK);
  return true;
};
