import { expect } from 'chai';
import fc from 'fast-check';
import { LIMITS } from '../limits.ts';
import {
  INITIATOR_NAME,
  read10,
  TARGET_NAME,
  TestInitiator,
  TestTarget,
} from './initiator.test-support.ts';
import { chapResponse } from './login/chap.ts';
import { serializeText } from './login/text.ts';
import type { PduView } from './pdu/decoder.ts';
import { CONTINUE_BIT, FINAL_BIT, Opcode, RESERVED_TAG } from './pdu/fields.ts';

const status = (response: PduView): number => response.uint16(36);

describe('sessions', () => {
  let target: TestTarget;
  afterEach(() => target.stop());

  it('are told apart by name and ISID, several at a time', async () => {
    target = await TestTarget.start();
    await target.login();
    const second = await target.connect();
    await second.login([], { isid: 2 });
    const sessions = target.server.sessions();
    expect(sessions.map((each) => each.isid)).to.deep.equal(['00023d000001', '00023d000002']);
    expect(new Set(sessions.map((each) => each.tsih)).size).to.equal(2);
    expect(sessions[0]).to.include({ initiatorName: INITIATOR_NAME, discovery: false });
    expect(target.server.counters.sessions).to.equal(2);
  });

  it('are reinstated by a login of the same initiator port', async () => {
    target = await TestTarget.start();
    const old = await target.login();
    target.volume.deferred = true;
    old.sendCommand({ cdb: read10(0, 1), read: 512 });
    const fresh = await target.login();
    target.volume.deferred = false;
    target.volume.settle();
    expect(await old.next()).to.equal(null);
    expect(target.server.sessions().length).to.equal(1);
    expect((await fresh.command({ cdb: [0] })).last.byte(3)).to.equal(0);
  });

  it('go on over a new connection with the same CID', async () => {
    target = await TestTarget.start();
    const old = await target.login();
    const fresh = await target.connect();
    fresh.tsih = old.tsih;
    fresh.cmdSn = old.cmdSn;
    expect(status(await fresh.login(['InitialR2T=No']))).to.equal(0);
    expect(await old.next()).to.equal(null);
    // No unit attention: the nexus is the same.
    expect((await fresh.command({ cdb: [0] })).last.byte(3)).to.equal(0);
    expect(target.server.sessions().map((each) => each.tsih)).to.deep.equal([old.tsih]);
  });

  it('take no second connection, and none that belongs to nobody', async () => {
    target = await TestTarget.start();
    const first = await target.login();
    for (const [tsih, cid, expected] of [
      [first.tsih, 7, 0x0206],
      [first.tsih + 1, 0, 0x020a],
    ] as const) {
      const joiner = await target.connect();
      joiner.tsih = tsih;
      joiner.sendLogin([`InitiatorName=${INITIATOR_NAME}`, `TargetName=${TARGET_NAME}`], { cid });
      expect(status(await joiner.expect(Opcode.loginResponse))).to.equal(expected);
      expect(await joiner.next()).to.equal(null);
    }
    expect((await first.command({ cdb: [0] })).last.byte(3)).to.equal(0);
  });

  it('end with their connection, and their tasks with them', async () => {
    target = await TestTarget.start();
    const initiator = await target.login();
    const watcher = await target.connect();
    await watcher.login([], { isid: 2 });
    await watcher.command({ cdb: [0] });
    target.volume.deferred = true;
    initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    await initiator.ping();
    initiator.socket.destroy();
    do await watcher.command({ cdb: [0] });
    while (target.server.sessions().length > 1);
    target.volume.deferred = false;
    target.volume.settle();
    expect(target.server.counters.tasksAborted).to.equal(1);
    expect((await watcher.command({ cdb: [0] })).last.byte(3)).to.equal(0);
  });

  it('begin with CHAP in both directions over the wire', async () => {
    target = await TestTarget.start({
      authentication: {
        kind: 'chap',
        discovery: true,
        settings: {
          initiator: { user: 'pod', secret: 'initiator secret' },
          target: { user: 'volume', secret: 'target secret' },
        },
      },
    });
    const initiator = await target.connect();
    const names = [`InitiatorName=${INITIATOR_NAME}`, `TargetName=${TARGET_NAME}`];
    initiator.sendLogin([...names, 'AuthMethod=CHAP'], { flags: 0x81 });
    await initiator.expect(Opcode.loginResponse);
    initiator.sendLogin(['CHAP_A=7'], { flags: 0x00 });
    const challenge = TestInitiator.pairs(await initiator.expect(Opcode.loginResponse));
    const [, identifier, bytes] = challenge.map((pair) => pair.split('=')[1]!);
    const proof = chapResponse(
      'sha256',
      Number(identifier),
      'initiator secret',
      Buffer.from(bytes!.slice(2), 'hex'),
    );
    const response = `CHAP_R=0x${Buffer.from(proof).toString('hex')}`;
    initiator.sendLogin(['CHAP_N=pod', response, 'CHAP_I=77', 'CHAP_C=0x0102'], { flags: 0x83 });
    const last = await initiator.expect(Opcode.loginResponse);
    const expected = chapResponse('sha256', 77, 'target secret', Uint8Array.of(1, 2));
    expect(TestInitiator.pairs(last)).to.include.members([
      'CHAP_N=volume',
      `CHAP_R=0x${Buffer.from(expected).toString('hex')}`,
    ]);
    expect(last.flags).to.equal(0x83);
  });
});

describe('discovery', () => {
  it('answers SendTargets in pieces that the initiator can take', async () => {
    const portals = Array.from({ length: 20 }, (_, index) => ({
      address: `10.11.12.${index}:3260`,
      portalGroupTag: 1 + (index % 2),
    }));
    const target = await TestTarget.start({ portals });
    const initiator = await target.connect();
    initiator.sendLogin([
      `InitiatorName=${INITIATOR_NAME}`,
      'SessionType=Discovery',
      'MaxRecvDataSegmentLength=512',
    ]);
    expect(status(await initiator.expect(Opcode.loginResponse))).to.equal(0);
    const data = serializeText([{ key: 'SendTargets', value: 'All' }]);
    const tag = initiator.nextTag++;
    const pieces: Buffer[] = [];
    let transferTag = RESERVED_TAG;
    for (let first = true; ; first = false) {
      initiator.send({
        opcode: Opcode.textRequest,
        tag,
        words: [transferTag, initiator.cmdSn++],
        ...(first ? { data } : {}),
      });
      const answer = await initiator.expect(Opcode.textResponse);
      expect(answer.dataBytes).to.be.at.most(512);
      pieces.push(Buffer.from(answer.data));
      transferTag = answer.uint32(20);
      if ((answer.flags & FINAL_BIT) !== 0) break;
      expect(answer.flags).to.equal(CONTINUE_BIT);
    }
    expect(transferTag).to.equal(RESERVED_TAG);
    const lines = Buffer.concat(pieces).toString().split('\0').filter(Boolean);
    expect(lines).to.deep.equal([
      `TargetName=${TARGET_NAME}`,
      ...portals.map((each) => `TargetAddress=${each.address},${each.portalGroupTag}`),
    ]);
    initiator.sendCommand({ cdb: [0] });
    expect((await initiator.expect(Opcode.reject)).byte(2)).to.equal(0x04);
    await target.stop();
  });
});

describe('before login', () => {
  let target: TestTarget;
  beforeEach(async () => {
    target = await TestTarget.start();
  });
  afterEach(() => target.stop());

  it('closes silently on anything but a login', async () => {
    const stranger = await target.connect();
    stranger.sendCommand({ cdb: [0] });
    expect(await stranger.next()).to.equal(null);
    expect(target.server.counters.loginsFailed.malformed).to.equal(1);
    expect(target.server.counters.malformed).to.equal(1);
  });

  it('refuses more connections of one address than its cap, and takes them again later', async () => {
    const waiting: TestInitiator[] = [];
    for (let turn = 0; turn < LIMITS.connectionsBeforeLoginPerAddress; turn++) {
      waiting.push(await target.connect());
    }
    const refused = await target.connect();
    expect(await refused.next()).to.equal(null);
    expect(target.server.counters.connectionsRefused).to.equal(1);
    // Who has logged in does not count.
    await waiting[0]!.login();
    const next = await target.connect();
    expect(status(await next.login([], { isid: 2 }))).to.equal(0);
  });

  it('survives any bytes, and lets the next one in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        const stranger = await target.connect();
        if (bytes.length > 8) bytes.set([0x43, 0x87, 0, 0, 0, 0, 0], 0);
        stranger.socket.end(bytes);
        let pdu: PduView | null;
        do pdu = await stranger.next();
        while (pdu !== null);
      }),
      { numRuns: 60 },
    );
    expect(status(await (await target.connect()).login())).to.equal(0);
  });
});

describe('the end', () => {
  it('asks for logout, waits for those who do, and drops the rest', async () => {
    const target = await TestTarget.start();
    const polite = await target.login();
    const rude = await target.connect();
    await rude.login([], { isid: 2 });
    const closed = target.server.close(300);
    const request = await polite.expect(Opcode.asyncMessage);
    expect(request.byte(36)).to.equal(1);
    polite.send({ opcode: Opcode.logoutRequest, words: [0, polite.cmdSn] });
    await polite.expect(Opcode.logoutResponse);
    expect((await rude.expect(Opcode.asyncMessage)).byte(36)).to.equal(1);
    expect((await rude.expect(Opcode.asyncMessage)).byte(36)).to.equal(2);
    expect(await rude.next()).to.equal(null);
    await closed;
    expect(target.server.counters.connections).to.equal(0);
    polite.socket.destroy();
  });

  it('drops everyone at once when the volume is lost', async () => {
    const target = await TestTarget.start();
    const initiator = await target.login();
    target.volume.deferred = true;
    initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    await initiator.ping();
    target.server.dropAll('fenced');
    target.volume.settle();
    expect((await initiator.expect(Opcode.asyncMessage)).byte(36)).to.equal(2);
    expect(await initiator.next()).to.equal(null);
    expect(target.server.sessions()).to.deep.equal([]);
    await target.stop();
  });
});
