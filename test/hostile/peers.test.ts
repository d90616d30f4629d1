/**
 * Goal: a target's peers do it no harm, whatever they do after they were let in: a replica whose
 * answers are wrong is dropped and never believed, and an initiator that takes no answers holds up
 * nobody and costs a bounded amount of memory.
 *
 * Method: a checking load on real processes. One of three replicas has somebody in front of it
 * that changes some of its answers; beside the load a session asks for much and reads nothing.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { CheckingLoad } from '../crash/checking-load.ts';
import { firstDifference } from '../crash/images.ts';
import { type Disk, openDisk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';
import { LyingReplica } from './lying-replica.ts';
import { Watch } from './watch.ts';

const SEED = Number(process.env['HOSTILE_SEED'] ?? randomInt(2 ** 32));
const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
const LIES = 10;
const READS = 128;
const STALLED_MS = 5_000;
/** What one session may have under way, and what it has not taken: see the target's limits. */
const CAPS = { growthBytes: 96 * MIB, peakGrowthBytes: 96 * MIB };
const STALL_CAP_MS = 5_000;

describe(`hostile peers of a target, seed ${SEED}`, function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  const random = new Random(SEED);
  let volume: ReplicatedVolume;
  let liar: LyingReplica;
  let load: CheckingLoad;
  let disk: Disk;
  let watch: Watch;

  beforeEach(async () => {
    const own = `${directory.path}/${Math.random().toString(36).slice(2, 8)}`;
    const address = (index: number): string => `${own}/replica-${index}.sock`;
    volume = new ReplicatedVolume({
      directory: own,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
      targetFlags: {
        replica: [`unix:${own}/liar.sock`, `unix:${address(1)}`, `unix:${address(2)}`],
      },
    });
    await Promise.all([0, 1, 2].map((index) => volume.startReplica(index)));
    liar = new LyingReplica({ path: `${own}/liar.sock`, behind: address(0), random });
    liar.honest = true;
    await volume.startTarget();
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random });
    load.calm = true;
    disk = await openDisk(volume.portal);
    load.start(disk);
    await until('a load that is answered', () => load.answered > 300);
    watch = new Watch([volume.target]);
    watch.start();
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') {
      console.log(volume.target.daemon.log.slice(-40).join('\n'));
    }
    disk.session.destroy();
    await volume.stop();
    liar.close();
  });
  after(() => directory.remove());

  const expectUndisturbed = async (): Promise<void> => {
    await volume.untilHealthy(60_000);
    await load.stop();
    await load.verify(disk);
    await disk.flush();
    expect(load.refused).to.equal(0);
    expect(await firstDifference(volume.imagePaths(), SIZE_BYTES)).to.equal(null);
    await watch.stop(CAPS);
  };

  it('a replica that lies is dropped, again and again, and what it says is not believed', async () => {
    liar.honest = false;
    await until(`${LIES} lies`, () => liar.lies >= LIES, 60_000);
    liar.honest = true;
    await expectUndisturbed();
    expect(volume.target.daemon.log.join('\n')).to.contain('replica lost');
  });

  it('an initiator that stops reading holds up nobody, and costs a bounded amount of memory', async () => {
    const deaf = await openDisk(volume.portal);
    deaf.session.stopReading();
    const reads = Array.from({ length: READS }, () => deaf.read(0, MIB));
    const ended = Promise.allSettled(reads);
    const before = load.answered;
    await sleep(STALLED_MS);
    expect(load.answered).to.be.above(before + 200);
    deaf.session.destroy();
    await ended;
    await expectUndisturbed();
    expect(load.longestMs).to.be.below(STALL_CAP_MS);
  });
});
