/**
 * Goal: no bytes on the replication port bring a replica down, make it hang or grow, or disturb the
 * target that it serves.
 *
 * Method: right frames of every kind are mutated (bits, lengths, cuts, insertions, with checksums
 * that fit and that don't) and sent over connections that are greeted or not. First to the three
 * replicas of a volume that a witness uses meanwhile; there everything is allowed but a rightful
 * promise, with which anybody who knows the volume takes it over. Then to a replica alone, after a
 * rightful promise, so that writes, records and documents are reached. Seeded; the seed is in the
 * title.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { NetConnectOpts, Socket } from 'node:net';
import { parseAddress } from '@openebs/replica/runtime';
import { HEADER_BYTES } from '@openebs/replica/protocol';
import { expect } from 'chai';
import { openDisk } from '../initiator/disk.ts';
import { startReplica, temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume, type Running } from '../support/replicated-volume.ts';
import { attackFor } from './attack.ts';
import { HostileFrames } from './frames.ts';
import { Watch } from './watch.ts';
import { Witness } from './witness.ts';

const SEED = Number(process.env['HOSTILE_SEED'] ?? randomInt(2 ** 32));
const LIVE_FRAMES = 25_000;
const LONE_FRAMES = 15_000;
const WARM_UP_FRAMES = 2_000;
const WIDTH = 6;
const SIZE_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
const CAPS = { growthBytes: 48 * MIB, peakGrowthBytes: 96 * MIB };
const LATENCY_CAP_MS = 3_000;

const AT_KIND = 5;
const AT_TABLE_BYTES = 64;
const AT_PAYLOAD_BYTES = 68;
const WELCOME = 129;
const PROMISED = 131;

interface Promised {
  readonly state: { readonly lastVersion: { readonly epoch: number; readonly seq: number } };
}

function addressOf(running: Running): NetConnectOpts {
  const address = parseAddress(running.ready.listen ?? '');
  return address.kind === 'unix'
    ? { path: address.path }
    : { host: address.host, port: address.port };
}

/**
 * Sends and waits for the first frame that comes back: its payload when it is of this kind, else
 * null.
 */
async function exchange(socket: Socket, frame: Buffer, kind: number): Promise<string | null> {
  const closed = new AbortController();
  socket.once('close', () => closed.abort());
  socket.write(frame);
  let bytes = Buffer.alloc(0);
  const complete = (): boolean =>
    bytes.length >= HEADER_BYTES &&
    bytes.length >=
      HEADER_BYTES + bytes.readUInt32LE(AT_TABLE_BYTES) + bytes.readUInt32LE(AT_PAYLOAD_BYTES);
  try {
    while (!complete()) {
      const [chunk] = (await once(socket, 'data', { signal: closed.signal })) as [Buffer];
      bytes = Buffer.concat([bytes, chunk]);
    }
  } catch {
    return null;
  }
  if (bytes[AT_KIND] !== kind) return null;
  const start = HEADER_BYTES + bytes.readUInt32LE(AT_TABLE_BYTES);
  return bytes.toString('utf8', start, start + bytes.readUInt32LE(AT_PAYLOAD_BYTES));
}

describe(`mutated frames, seed ${SEED}`, function () {
  this.timeout(120_000);
  const random = new Random(SEED);
  const directory = temporaryDirectory();
  after(() => directory.remove());

  it(`do not disturb a volume in use (${LIVE_FRAMES})`, async () => {
    const volume = await ReplicatedVolume.start({
      directory: directory.path,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
    });
    const disk = await openDisk(volume.portal);
    const witness = new Witness({ disk, offsetBytes: 0, random });
    const running = volume.replicas.map((replica) => replica!);
    const watch = new Watch([...running, volume.target]);
    const frames = new HostileFrames({ volumeId: volume.volumeId, random, promises: false });
    const next = () => {
      const encoder = frames.encoder({
        epoch: random.pick([0, 0, 1, 2, 2 ** 40]),
        session: random.pick([0, 1, 2 ** 50]),
      });
      const greeted = random.chance(0.6);
      return {
        address: addressOf(random.pick(running)),
        messages: async (socket: Socket) => {
          if (greeted && (await exchange(socket, frames.hello(encoder), WELCOME)) === null) {
            return null;
          }
          return Array.from({ length: random.between(1, 9) }, () => frames.hostile(encoder));
        },
      };
    };
    witness.start();
    await attackFor({ messages: WARM_UP_FRAMES, width: WIDTH, random }, next);
    watch.start();
    const tally = await attackFor({ messages: LIVE_FRAMES, width: WIDTH, random }, next);
    await watch.stop(CAPS);
    await witness.stop();
    expect(tally.stuck, 'connections that did not end').to.equal(0);
    expect(witness.operations, 'operations of the witness').to.be.greaterThan(100);
    expect(witness.slowestMs, 'slowest operation of the witness').to.be.lessThan(LATENCY_CAP_MS);
    expect((await volume.status()).state).to.equal('healthy');
    await disk.session.logout();
    await volume.stop();
  });

  it(`do not bring down a replica that has promised (${LONE_FRAMES})`, async () => {
    const volumeId = randomUUID();
    const daemon = startReplica({
      dir: `${directory.path}/lone`,
      'volume-id': volumeId,
      size: String(SIZE_BYTES),
      listen: `unix:${directory.path}/lone.sock`,
    });
    const replica: Running = { daemon, ready: await daemon.ready };
    const watch = new Watch([replica]);
    let claimed = 0;
    const next = () => {
      // A new promise is made durable, which takes its time; the one that is there may be repeated.
      if (claimed === 0 || random.chance(0.05)) claimed++;
      const claim = claimed;
      const frames = new HostileFrames({ volumeId, random, promises: true });
      const encoder = frames.encoder({ epoch: claim, session: claim });
      return {
        address: addressOf(replica),
        messages: async (socket: Socket) => {
          if ((await exchange(socket, frames.hello(encoder), WELCOME)) === null) return null;
          const promised = await exchange(socket, frames.promise(encoder), PROMISED);
          if (promised === null) return null;
          const { state } = JSON.parse(promised) as Promised;
          const { epoch, seq } = state.lastVersion;
          frames.continueAfter(epoch === claim ? seq : 0);
          return Array.from({ length: random.between(1, 9) }, () => frames.hostile(encoder));
        },
      };
    };
    await attackFor({ messages: WARM_UP_FRAMES, width: WIDTH, random }, next);
    watch.start();
    const tally = await attackFor({ messages: LONE_FRAMES, width: WIDTH, random }, next);
    await watch.stop(CAPS);
    expect(tally.stuck, 'connections that did not end').to.equal(0);
    expect(tally.refused, 'refused openings').to.be.lessThan(tally.connections);
    expect((await daemon.stop()).code).to.equal(0);
  });
});
