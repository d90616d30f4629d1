/**
 * Goal: no bytes on the iSCSI port bring a target down, make it hang or grow, or disturb the
 * sessions beside it.
 *
 * Method: right PDUs of every kind are mutated (bits, lengths, cuts, insertions) and sent on
 * connections that have logged in or not, to a volume with three replicas that a witness uses
 * meanwhile; commands by which one initiator may rightfully disturb another are left out there, and
 * are included against a target that nobody else uses. Then peers that do nothing: that trickle
 * their login, or never send anything. What once found something is kept in test/corpus/iscsi and
 * sent first. Seeded; the seed is in the title.
 */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { NetConnectOpts, Socket } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDisk } from '../initiator/disk.ts';
import { REPOSITORY, temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { attackFor, newTally, runAttack } from './attack.ts';
import { logIn } from './login.ts';
import { HostilePdus } from './pdus.ts';
import { Watch } from './watch.ts';
import { Witness } from './witness.ts';

const SEED = Number(process.env['HOSTILE_SEED'] ?? randomInt(2 ** 32));
const WITNESSED_PDUS = 40_000;
const ALONE_PDUS = 15_000;
const WARM_UP_PDUS = 3_000;
/** Below the limit of connections that have not logged in, for one address. */
const WIDTH = 6;
const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const SIZE_BYTES = 1024 * GIB;
/** Far from the blocks that the attack works on, and not a power of two away from them. */
const WITNESS_OFFSET_BYTES = 0x5a3c1e80 * 512;
const CAPS = { growthBytes: 64 * MIB, peakGrowthBytes: 128 * MIB };
const LATENCY_CAP_MS = 3_000;
const WITNESS_TIMEOUT_MS = 15_000;
const LOGIN_TIMEOUT_MS = 15_000;
const SLACK_MS = 5_000;
const CORPUS = join(REPOSITORY, 'test', 'corpus', 'iscsi');

describe(`mutated iSCSI PDUs, seed ${SEED}`, function () {
  this.timeout(120_000);
  const random = new Random(SEED);
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume;

  before(async () => {
    volume = await ReplicatedVolume.start({
      directory: directory.path,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
    });
  });
  afterEach(function () {
    if (this.currentTest?.state !== 'failed') return;
    console.log(volume.target.daemon.log.slice(-20).join('\n'));
  });
  after(async () => {
    await volume.stop();
    directory.remove();
  });

  const address = (of: ReplicatedVolume): NetConnectOpts => ({
    host: of.portal.host,
    port: of.portal.port,
    localAddress: `127.0.0.${random.between(2, 9)}`,
  });

  const attacks = (of: ReplicatedVolume, witness: boolean) => {
    const pdus = new HostilePdus({ random, witness });
    return () => ({
      address: address(of),
      messages: async (socket: Socket) => {
        if (random.chance(0.25)) return pdus.stranger(of.iqn);
        const negotiated = await logIn(socket, { targetName: of.iqn, random });
        return negotiated === null ? null : pdus.session(negotiated);
      },
    });
  };

  it('of the corpus end their connections and nothing else', async () => {
    const tally = newTally();
    const names = readdirSync(CORPUS).filter((name) => name.endsWith('.hex'));
    expect(names.length).to.be.greaterThan(0);
    for (const name of names) {
      const [stage = '', ...lines] = readFileSync(join(CORPUS, name), 'utf8')
        .split('\n')
        .filter((line) => !line.startsWith('#'));
      const bytes = Buffer.from(lines.join('').replace(/\s/g, ''), 'hex');
      const messages = async (socket: Socket): Promise<Buffer[] | null> => {
        if (stage.trim() === 'before login') return [bytes];
        return (await logIn(socket, { targetName: volume.iqn, random })) && [bytes];
      };
      await runAttack({ address: address(volume), messages }, tally, random);
    }
    expect(tally).to.deep.include({ connections: names.length, refused: 0, stuck: 0 });
    const disk = await openDisk(volume.portal);
    await disk.session.logout();
  });

  it(`do not disturb a session beside them (${WITNESSED_PDUS})`, async () => {
    const disk = await openDisk({ ...volume.portal, timeoutMs: WITNESS_TIMEOUT_MS });
    const witness = new Witness({ disk, offsetBytes: WITNESS_OFFSET_BYTES, random });
    const watch = new Watch([volume.target, ...volume.replicas.map((replica) => replica!)]);
    const next = attacks(volume, true);
    witness.start();
    await attackFor({ messages: WARM_UP_PDUS, width: WIDTH, random }, next);
    watch.start();
    const tally = await attackFor({ messages: WITNESSED_PDUS, width: WIDTH, random }, next);
    await watch.stop(CAPS);
    await witness.stop();
    expect(tally.stuck, 'connections that did not end').to.equal(0);
    expect(tally.refused, 'rightful logins that were refused').to.equal(0);
    expect(witness.operations, 'operations of the witness').to.be.greaterThan(100);
    expect(witness.slowestMs, 'slowest operation of the witness').to.be.lessThan(LATENCY_CAP_MS);
    const { state, sessions } = await volume.status();
    expect(state).to.equal('healthy');
    expect(sessions.length, 'sessions: the witness').to.equal(1);
    await disk.session.logout();
  });

  it(`do not bring down a target alone, with nothing left out (${ALONE_PDUS})`, async () => {
    const alone = await ReplicatedVolume.start({
      directory: join(directory.path, 'alone'),
      sizeBytes: GIB,
      replicas: 1,
      kind: 'in-process',
    });
    const watch = new Watch([alone.target]);
    const next = attacks(alone, false);
    await attackFor({ messages: WARM_UP_PDUS, width: WIDTH, random }, next);
    watch.start();
    const tally = await attackFor({ messages: ALONE_PDUS, width: WIDTH, random }, next);
    await watch.stop(CAPS);
    expect(tally.stuck, 'connections that did not end').to.equal(0);
    const disk = await openDisk(alone.portal);
    expect(await disk.capacity()).to.equal(GIB);
    await disk.session.logout();
    await alone.stop();
  });

  it('that never come, or come byte by byte, do not keep a connection', async () => {
    const { host, port } = volume.portal;
    const disk = await openDisk(volume.portal);
    const began = performance.now();
    const silent = Array.from({ length: 12 }, (_, index) =>
      // Two addresses: no address may hold more than its share, which is told by closing at once.
      connect({ host, port, localAddress: `127.0.0.${20 + (index % 2)}`, allowHalfOpen: true }),
    );
    const trickle = setInterval(() => {
      for (const [index, socket] of silent.entries()) {
        if (index < 4 && socket.writable) socket.write(Buffer.from([0x43]));
      }
    }, 1000);
    const ends = silent.map(
      (socket) =>
        new Promise<number>((resolve) => {
          socket.on('error', () => undefined);
          socket.on('data', () => undefined);
          // A peer that ended gracefully has let go; with half open sockets nothing else tells.
          socket.once('end', () => resolve(performance.now() - began));
          socket.once('close', () => resolve(performance.now() - began));
        }),
    );
    const times = await Promise.all(ends);
    clearInterval(trickle);
    for (const socket of silent) socket.destroy();
    expect(Math.max(...times)).to.be.lessThan(LOGIN_TIMEOUT_MS + SLACK_MS);
    await disk.testUnitReady();
    await disk.session.logout();
  });
});
