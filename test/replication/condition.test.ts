/**
 * Goal: a volume that is not healthy says what initiators get, why, since when, and what is next.
 * Method: real daemons; a replica is killed, the majority is killed, one is resynchronised, and the
 * disks of all run full; each time the target's control API is asked, and what it promises for the
 * next moment is waited for.
 */
import { mkdirSync } from 'node:fs';
import { expect } from 'chai';
import { SmallDisk } from '../disk-faults/small-disk.ts';
import { openDisk, type Disk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';

const MIB = 1024 ** 2;

interface Condition {
  readonly state: string;
  readonly access: string;
  readonly since: string;
  readonly reason: string | null;
  readonly next: string | null;
  readonly replicas: readonly { readonly mode: string; readonly since: string }[];
}

describe('the condition of a volume, told by its target', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume;
  let disk: Disk | null = null;
  let disks: SmallDisk[] = [];

  const begin = async (
    options: Partial<Parameters<typeof ReplicatedVolume.start>[0]> = {},
  ): Promise<void> => {
    const own = `${directory.path}/${Math.random().toString(36).slice(2, 8)}`;
    mkdirSync(own, { recursive: true });
    volume = await ReplicatedVolume.start({
      directory: own,
      sizeBytes: 64 * MIB,
      replicas: 3,
      kind: 'unix',
      targetFlags: { 'hold-seconds': '3' },
      ...options,
    });
  };
  const condition = async (): Promise<Condition> => (await volume.status()) as unknown as Condition;
  const being = async (state: string, access: string): Promise<Condition> => {
    let seen = await condition();
    await until(`${state} ${access}`, async () => {
      seen = await condition();
      return seen.state === state && seen.access === access;
    });
    return seen;
  };
  const metric = async (name: string): Promise<string> => {
    const response = await fetch(`http://${volume.target.ready.control}/metrics`);
    const line = (await response.text()).split('\n').find((each) => each.startsWith(name));
    return line ?? '';
  };

  afterEach(async () => {
    disk?.session.destroy();
    disk = null;
    await volume.stop();
    for (const each of disks.splice(0)) each.unmount();
  });
  after(() => directory.remove());

  it('healthy: since the portal opened, without a reason', async () => {
    const before = Date.now();
    await begin();
    const { since, reason, next } = await being('healthy', 'read-write');
    expect([reason, next]).to.deep.equal([null, null]);
    expect(Date.parse(since)).to.be.within(before, Date.now());
    const again = await condition();
    expect(again.since).to.equal(since);
  });

  it('degraded: since the replica was killed, which is dialled again', async () => {
    await begin();
    await being('healthy', 'read-write');
    const killed = Date.now();
    await volume.replicas[1]?.daemon.kill9();
    const seen = await being('degraded', 'read-write');
    expect(Date.parse(seen.since)).to.be.within(killed - 1, Date.now());
    expect(seen.reason).to.match(/replica-1\.sock is offline: .+/);
    expect(seen.next).to.include('reads and writes go on until one more is lost');
    expect(seen.next).to.include('dialled again every few seconds');
    expect(seen.replicas[1]?.since).to.equal(seen.since);
    expect(await metric('openebs_volume_state_since_timestamp_seconds')).to.include(
      String(Date.parse(seen.since) / 1000),
    );
    // As it was promised: by itself.
    await volume.startReplica(1);
    await being('healthy', 'read-write');
  });

  it('waiting: without a majority, until a time that is told; then NOT READY; then by itself', async () => {
    await begin();
    await being('healthy', 'read-write');
    for (const index of [0, 2]) await volume.replicas[index]?.daemon.kill9();
    const waiting = await being('unavailable', 'waiting');
    expect(waiting.reason).to.match(/^waiting for .*; .*replica-0\.sock is offline/);
    const held = /I\/O is held until (\S+),/.exec(waiting.next ?? '')?.[1] ?? '';
    expect(Date.parse(held) - Date.parse(waiting.since)).to.be.within(2_000, 3_000);
    expect(await metric('openebs_volume_access{volume="test",access="waiting"}')).to.match(/ 1$/);
    const failing = await being('unavailable', 'none');
    expect(Date.parse(failing.since)).to.be.at.least(Date.parse(held));
    expect(failing.next).to.include('answered NOT READY; it goes on by itself');
    await volume.startReplica(0);
    await being('degraded', 'read-write');
  });

  it('resynchronised: how far, and when it is done', async () => {
    await begin();
    disk = await openDisk(volume.portal);
    await volume.replicas[2]?.daemon.kill9();
    await being('degraded', 'read-write');
    for (let at = 0; at < 64 * MIB; at += MIB)
      await disk.write(at, Buffer.alloc(MIB, at / MIB + 1));
    await volume.startReplica(2);
    let seen = await condition();
    await until('a resynchronisation', async () => {
      seen = await condition();
      return seen.state === 'healthy' || seen.reason?.includes('resynchronised') === true;
    });
    expect(seen.reason).to.match(/replica-2\.sock is resynchronised \(\d+ %\)/);
    expect(seen.next).to.match(/replica-2\.sock is in sync (in about \d+ s|when that is done)/);
    const { since } = await being('healthy', 'read-write');
    expect(Date.parse(since)).to.be.greaterThan(Date.parse(seen.since));
  });

  it('read-only: no replica has space; as soon as one has, writes go on', async function () {
    // Mounting needs root.
    if (process.getuid?.() !== 0) this.skip();
    const own = `${directory.path}/full`;
    disks = [0, 1, 2].map((index) => new SmallDisk(`${own}/disk-${index}`, 32 * MIB));
    await begin({
      sizeBytes: 24 * MIB,
      replicaSettings: (index) => ({ directory: `${own}/disk-${index}/replica` }),
    });
    disk = await openDisk(volume.portal);
    for (const each of disks) each.fill();
    const writer = disk;
    const refused = async (): Promise<boolean> => {
      for (let at = 0; at < 24 * MIB; at += MIB) {
        const failed = await writer.write(at, Buffer.alloc(MIB, 1)).then(
          () => false,
          () => true,
        );
        if (failed) return true;
      }
      return false;
    };
    await until('a write that is refused', refused);
    const seen = await being('unavailable', 'read-only');
    expect(seen.reason).to.include('the last in-sync replica has no space: reads go on');
    expect(seen.next).to.match(/^free space on the file system/);
    await disk.read(0, 4096);
    for (const each of disks) each.makeSpace();
    await until('writes that are taken', async () => !(await refused()));
    await being('healthy', 'read-write');
  });
});
