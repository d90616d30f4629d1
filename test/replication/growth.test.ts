/**
 * Goal: growing on line survives the death of any process at any moment. Method: a volume grows
 * again and again while its target, a replica, or both are killed with SIGKILL at a random moment;
 * then everything starts with the new size, as the orchestrator does, which records it first.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { mkdirSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { firstDifference } from '../crash/images.ts';
import { openDisk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';

const MIB = 1024 * 1024;
const ROUNDS = 8;
const TOKEN = 'orders-of-the-test-suite';
/** Longer than growing takes, so that some rounds die before, in the middle, and behind it. */
const LATEST_KILL_MS = 40;

describe('a volume that grows while its processes die', function () {
  this.timeout(180_000);
  const directory = temporaryDirectory();
  after(() => directory.remove());

  it('has its new size, all that was written, and zeroes where nothing was, on all replicas', async () => {
    const seed = 7;
    const random = new Random(seed);
    let sizeBytes = 16 * MIB;
    const tokenFile = `${directory.path}/token`;
    mkdirSync(directory.path, { recursive: true });
    writeFileSync(tokenFile, TOKEN);
    const targetFlags = { 'control-token-file': tokenFile, size: String(sizeBytes) };
    const volume = new ReplicatedVolume({
      directory: directory.path,
      sizeBytes,
      replicas: 3,
      kind: 'unix',
      targetFlags,
      replicaSettings: () => ({ flags: { size: String(sizeBytes) } }),
    });
    const grow = (): Promise<unknown> =>
      fetch(`http://${volume.target.ready.control}/v1/size`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ sizeBytes }),
      }).catch(() => null);
    try {
      await volume.start();
      const written: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const last = sizeBytes - 4096;
        const disk = await openDisk(volume.portal);
        expect(await disk.capacity(), `round ${round}`).to.equal(sizeBytes);
        await disk.write(last, Buffer.alloc(4096, round + 1));
        written.push(last);
        sizeBytes += 4 * MIB;
        targetFlags.size = String(sizeBytes);
        const growing = grow();
        await sleep(random.below(LATEST_KILL_MS));
        const victims = [volume.target, volume.replicas[random.below(3)]!];
        const dying = round % 3 === 2 ? victims : [victims[round % 3]!];
        await Promise.all(dying.map(({ daemon }) => daemon.kill9()));
        await growing;
        await volume.start();
        // As the orchestrator does where the target lives and has not grown.
        await volume.untilHealthy();
        await grow();
        await disk.session.logout().catch(() => undefined);
      }
      const disk = await openDisk(volume.portal);
      expect(await disk.capacity()).to.equal(sizeBytes);
      for (const [round, at] of written.entries()) {
        const blocks = await disk.read(at, 8192);
        expect(blocks.subarray(0, 4096).equals(Buffer.alloc(4096, round + 1))).to.equal(true);
        expect(blocks.subarray(4096).every((byte) => byte === 0)).to.equal(true);
      }
      await disk.session.logout();
      const paths = [0, 1, 2].map((index) => volume.imagePath(index));
      expect(await firstDifference(paths, sizeBytes)).to.equal(null);
    } finally {
      await volume.stop();
    }
  });
});
