/**
 * Goal: a network that is cut, in one direction or both, holds initiators up for a bounded time and
 * loses nothing; and a target that was cut off, and replaced, answers nothing more, neither writes
 * nor reads, from the moment on at which its successor acknowledges a write.
 *
 * Method: targets and replicas as real processes, each on a host of its own (a network namespace);
 * the router between them drops what a cut names.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { CheckingLoad } from '../crash/checking-load.ts';
import { firstDifference } from '../crash/images.ts';
import { type Disk, openDisk } from '../initiator/disk.ts';
import { type Daemon, startTarget, temporaryDirectory } from '../support/daemons.ts';
import { findCommand } from '../support/debian.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';
import { Network } from './network.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const STALL_CAP_MS = 12_000;
const REPLICA_PORT = 9503;
const BLOCK = 4096;
const READERS = 16;
const REPLICAS = [0, 1, 2];

describe('a network that is cut', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  const network = new Network(['target', 'successor', 'replica-0', 'replica-1', 'replica-2']);
  let volume: ReplicatedVolume;
  let load: CheckingLoad;
  let disk: Disk;

  before(function () {
    // Namespaces need root.
    if (process.getuid?.() !== 0 || findCommand('ip') === null) this.skip();
    network.create();
  });
  beforeEach(async () => {
    const own = network.address('target');
    volume = await ReplicatedVolume.start({
      directory: `${directory.path}/${Math.random().toString(36).slice(2, 8)}`,
      sizeBytes: SIZE_BYTES,
      replicas: REPLICAS.length,
      kind: 'tcp',
      targetFlags: { listen: `${own}:0`, control: `${own}:0` },
      targetSpawn: { wrapper: network.wrapper('target') },
      replicaSettings: (index) => ({
        flags: { listen: `${network.address(`replica-${index}`)}:${REPLICA_PORT}` },
        spawn: { wrapper: network.wrapper(`replica-${index}`) },
      }),
    });
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(41) });
    load.calm = true;
    disk = await openDisk(volume.portal);
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') console.log(volume.target.daemon.log.join('\n'));
    disk.session.destroy();
    await volume.stop();
  });
  after(() => {
    network.remove();
    directory.remove();
  });

  const begin = async (): Promise<void> => {
    load.start(disk);
    await until('a load that is answered', () => load.answered > 200);
  };

  const moreAnswers = async (): Promise<void> => {
    const before = load.answered;
    await until('a load that is answered', () => load.answered > before + 200);
  };

  const expectAsBefore = async (): Promise<void> => {
    await volume.untilHealthy();
    await load.stop();
    await load.verify(disk);
    await disk.flush();
    expect(load.refused).to.equal(0);
    expect(await firstDifference(volume.imagePaths(), SIZE_BYTES)).to.equal(null);
  };

  for (const [name, from, to] of [
    ['to a replica', 'target', 'replica-1'],
    ['from a replica', 'replica-1', 'target'],
  ] as const) {
    it(`${name} only: initiators wait at most ${STALL_CAP_MS / 1000} s, and it comes back`, async () => {
      await begin();
      network.cut(from, to);
      await until('the loss of the replica', async () => {
        return (await volume.status()).replicas[1]!.mode === 'offline';
      });
      await moreAnswers();
      network.heal(from, to);
      await expectAsBefore();
      console.log(`      the longest operation took ${load.longestMs.toFixed(0)} ms`);
      expect(load.longestMs).to.be.at.most(STALL_CAP_MS);
    });
  }

  it('between a target and all replicas: I/O is held, and answered when it is whole again', async () => {
    await begin();
    for (const index of REPLICAS) network.cutBoth('target', `replica-${index}`);
    await sleep(5_000);
    const held = load.answered;
    await sleep(2_000);
    expect(load.answered).to.equal(held);
    for (const index of REPLICAS) network.healBoth('target', `replica-${index}`);
    await moreAnswers();
    await expectAsBefore();
  });

  /** From now on, while it answers: when it answered last, and whether a write was among it. */
  const askOn = (): { readonly lastMs: () => number; readonly stop: () => void } => {
    let lastMs = 0;
    let stopped = false;
    const ask = async (operation: () => Promise<unknown>): Promise<void> => {
      while (!stopped) {
        try {
          await operation();
          lastMs = performance.now();
        } catch {
          // Its session has ended, or it was refused: no answer.
          return;
        }
        await sleep(5);
      }
    };
    // Many: some of them wait for replicas that are cut off, and others go on.
    for (let reader = 0; reader < READERS; reader++) void ask(() => disk.read(0, BLOCK));
    void ask(() => disk.write(SIZE_BYTES / 2, Buffer.alloc(BLOCK, 3)));
    return { lastMs: () => lastMs, stop: () => void (stopped = true) };
  };

  const startSuccessor = (): Daemon => {
    const own = network.address('successor');
    return startTarget(
      {
        volume: 'test',
        'volume-id': volume.volumeId,
        size: String(SIZE_BYTES),
        iqn: volume.iqn,
        listen: `${own}:0`,
        control: `${own}:0`,
        'grace-seconds': '1',
        replica: volume.replicas.map((replica) => replica!.ready.listen!),
      },
      { wrapper: network.wrapper('successor') },
    );
  };

  for (const [name, reachable] of [
    ['from all replicas', [] as readonly number[]],
    ['with one in-sync replica that only it can reach', [0] as readonly number[]],
  ] as const) {
    it(`a target cut off ${name} answers nothing once its successor has acknowledged a write`, async () => {
      await disk.write(0, Buffer.alloc(BLOCK, 1));
      const asked = askOn();
      await until('an answer', () => asked.lastMs() > 0);
      const cutOff = REPLICAS.filter((index) => !reachable.includes(index));
      for (const index of cutOff) network.cutBoth('target', `replica-${index}`);
      for (const index of reachable) network.cutBoth('successor', `replica-${index}`);
      const cutMs = performance.now();
      const successor = startSuccessor();
      try {
        const [host = '', port = ''] = ((await successor.ready).portal ?? '').split(':');
        const other = await openDisk({ ...volume.portal, host, port: Number(port) });
        await other.write(0, Buffer.alloc(BLOCK, 2));
        const acknowledgedMs = performance.now();
        // Long after the old target would have noticed by itself.
        await sleep(14_000);
        asked.stop();
        console.log(
          `      after the cut: the last answer of the old target at ` +
            `${(asked.lastMs() - cutMs).toFixed(0)} ms, the first of the new one at ` +
            `${(acknowledgedMs - cutMs).toFixed(0)} ms`,
        );
        expect(asked.lastMs()).to.be.below(acknowledgedMs);
        expect((await other.read(0, BLOCK)).equals(Buffer.alloc(BLOCK, 2))).to.equal(true);
        for (const index of cutOff) network.healBoth('target', `replica-${index}`);
        for (const index of reachable) network.healBoth('successor', `replica-${index}`);
        // It hears from a replica that it was replaced.
        expect((await volume.target.daemon.exited).code).to.equal(4);
        other.session.destroy();
      } finally {
        asked.stop();
        await successor.stop();
      }
    });
  }
});
