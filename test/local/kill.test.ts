/**
 * Goal: however the system dies, the next start has all volumes with their data, and no process
 * stays for ever.
 * Method: kill -9 of everything, of the supervisor alone, of single daemons; patterns written
 * before are read after.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { Disk } from '../initiator/disk.ts';
import { LocalSystem, isAlive } from './local-system.ts';

const PIECE_BYTES = 64 * 1024;
const OFFSETS = [0, 5 * 1024 ** 2 + 4096, 30 * 1024 ** 2];

function pattern(seed: number): Buffer {
  return Buffer.from(Array.from({ length: PIECE_BYTES }, (_, i) => (i * 31 + seed) & 0xff));
}

async function writeAll(disk: Disk, seed: number): Promise<void> {
  for (const offset of OFFSETS) await disk.write(offset, pattern(seed + offset));
}

async function expectAll(disk: Disk, seed: number): Promise<void> {
  for (const offset of OFFSETS) {
    const found = await disk.read(offset, PIECE_BYTES);
    expect(found.equals(pattern(seed + offset)), `data at ${offset}`).to.equal(true);
  }
}

describe('a system that is killed', function () {
  this.timeout(180_000);
  let root: string;
  let system: LocalSystem;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-kill-'));
    system = await LocalSystem.start(root, ['--no-demo']);
    for (const [name, replicas] of [
      ['one', '1'],
      ['three', '3'],
    ] as const) {
      const args = ['volume', 'create', name, '--size', '64MiB', '--replicas', replicas];
      const created = await system.mayactl(...args);
      expect(created.code, created.stderr).to.equal(0);
    }
  });
  afterEach(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  it('has every volume, its portal and its data after kill -9 of all its processes', async () => {
    const before = [await system.volume('one'), await system.volume('three')];
    for (const [i, { name }] of before.entries()) {
      const disk = await system.disk(name);
      await writeAll(disk, i);
      await disk.session.logout();
    }
    await system.kill9All();
    system = await LocalSystem.start(root, ['--no-demo']);
    for (const [i, { name, id, portal }] of before.entries()) {
      expect(await system.volumeBeing(name, 'healthy')).to.include({ id, portal });
      const disk = await system.disk(name);
      await expectAll(disk, i);
      await disk.session.logout();
    }
  });

  it('leaves no process behind when only the supervisor was killed', async () => {
    const pids = [...system.daemons().values()];
    expect(pids).to.have.length(6);
    await system.kill9Supervisor();
    while (pids.some(isAlive)) await delay(20);
    system = await LocalSystem.start(root, ['--no-demo']);
    await system.volumeBeing('three', 'healthy');
  });

  it('waits for the daemons of the killed one instead of failing on their locks', async () => {
    const disk = await system.disk('three');
    await writeAll(disk, 9);
    // Stopped daemons notice the end of the supervisor only when they go on.
    const pids = [...system.daemons().values()];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    await system.kill9Supervisor();
    system = LocalSystem.launch(root, ['--no-demo']);
    await system.saying(/waiting for 6 daemons of the last run/);
    for (const pid of pids) process.kill(pid, 'SIGCONT');
    await system.started();
    await system.volumeBeing('three', 'healthy');
    const again = await system.disk('three');
    await expectAll(again, 9);
    await again.session.logout();
  });

  it('serves on when a replica is killed, says so, and starts the replica again', async () => {
    const disk = await system.disk('three');
    await writeAll(disk, 3);
    system.kill9('three.replica-2');
    await system.saying(/three: replica-2 ended \(killed by SIGKILL\), starts again in 0\.1 s/);
    await expectAll(disk, 3);
    await writeAll(disk, 4);
    await expectAll(disk, 4);
    await system.saying(/three: replica-2 runs again/);
    await disk.session.logout();
  });

  it('starts a killed target again at the same portal, with the data', async () => {
    const { portal } = await system.volume('three');
    const disk = await system.disk('three');
    await writeAll(disk, 5);
    system.kill9('three.target');
    await system.saying(/three: target runs again/);
    expect(await system.volumeBeing('three', 'healthy')).to.include({ portal });
    const again = await system.disk('three');
    await expectAll(again, 5);
    await again.session.logout();
  });

  it('finishes a deletion that was interrupted', async () => {
    const { stdout } = await system.mayactl('volume', 'info', 'three', '-o', 'json');
    const { replicas } = JSON.parse(stdout) as { replicas: { directory: string }[] };
    // The daemons do not end while they are stopped, so that the deletion is under way for certain.
    const pids = [...system.daemons()].filter(([name]) => name.startsWith('three.'));
    for (const [, pid] of pids) process.kill(pid, 'SIGSTOP');
    expect((await system.api('/v1/volumes/three', { method: 'DELETE' })).status).to.equal(202);
    expect((await system.volume('three')).status).to.equal('deleting');
    await system.kill9All();
    system = await LocalSystem.start(root, ['--no-demo']);
    expect((await system.mayactl('volume', 'list', '-o', 'name')).stdout).to.equal('one\n');
    for (const { directory } of replicas) expect(existsSync(directory)).to.equal(false);
  });
});
