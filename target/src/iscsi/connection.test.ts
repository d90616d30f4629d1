import { expect } from 'chai';
import fc from 'fast-check';
import { isTransitionValid } from './connection-state.ts';
import {
  ManualClock,
  read10,
  TARGET_NAME,
  TestInitiator,
  TestTarget,
  write10,
} from './initiator.test-support.ts';
import { serializeText } from './login/text.ts';
import type { PduView } from './pdu/decoder.ts';
import { FINAL_BIT, Opcode, RESERVED_TAG } from './pdu/fields.ts';

const text = (...items: string[]): Uint8Array =>
  serializeText(
    items.map((item) => {
      const [key, value] = item.split('=') as [string, string];
      return { key, value };
    }),
  );

describe('full feature phase', () => {
  let target: TestTarget;
  let initiator: TestInitiator;
  beforeEach(async () => {
    target = await TestTarget.start();
    initiator = await target.login();
  });
  afterEach(() => target.stop());

  it('executes commands in the order of CmdSN, however they arrive', async () => {
    const first = initiator.cmdSn;
    const block = (fill: number): Buffer => Buffer.alloc(512, fill);
    const write = { cdb: write10(0, 1), write: 512 };
    const last = initiator.sendCommand({ ...write, cmdSn: first + 2, data: block(3) });
    const middle = initiator.sendCommand({ ...write, cmdSn: first + 1, data: block(2) });
    const opening = initiator.sendCommand({ ...write, cmdSn: first, data: block(1) });
    initiator.cmdSn = first + 3;
    const order: number[] = [];
    for (let turn = 0; turn < 3; turn++) order.push((await initiator.outcome()).last.uint32(16));
    expect(order).to.deep.equal([opening, middle, last]);
    const { data } = await initiator.command({ cdb: read10(0, 1), read: 512 });
    expect(data.equals(block(3))).to.equal(true);
  });

  it('ignores commands below and above the window', async () => {
    const cmdSn = initiator.cmdSn;
    initiator.sendCommand({ cdb: [0], cmdSn: cmdSn - 1 });
    initiator.sendCommand({ cdb: [0], cmdSn: cmdSn + 128 });
    const tag = initiator.sendCommand({ cdb: [0] });
    const { last } = await initiator.outcome();
    expect(last.uint32(16)).to.equal(tag);
    expect(last.uint32(28)).to.equal(cmdSn + 1);
    expect(last.uint32(32)).to.equal(cmdSn + 128);
    expect(target.server.counters.outsideWindow).to.equal(2);
  });

  it('closes the window while commands are in flight and opens it with their responses', async () => {
    target.volume.deferred = true;
    const cmdSn = initiator.cmdSn;
    for (let turn = 0; turn < 129; turn++) initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    initiator.send({ opcode: Opcode.nopOut, immediate: true, words: [RESERVED_TAG, cmdSn] });
    const pong = await initiator.expect(Opcode.nopIn);
    expect(pong.uint32(28)).to.equal(cmdSn + 128);
    expect(pong.uint32(32)).to.equal(cmdSn + 127);
    expect(target.server.counters.outsideWindow).to.equal(1);
    target.volume.deferred = false;
    target.volume.settle();
    for (let turn = 0; turn < 128; turn++) {
      const { last } = await initiator.outcome();
      expect(last.uint32(32)).to.equal(cmdSn + 128 + turn);
    }
  });

  it('limits immediate commands on their own', async () => {
    target.volume.deferred = true;
    const fields = { cdb: read10(0, 1), read: 512, immediate: true };
    for (let turn = 0; turn < 17; turn++) initiator.sendCommand(fields);
    expect((await initiator.expect(Opcode.reject)).byte(2)).to.equal(0x06);
    target.volume.deferred = false;
    target.volume.settle();
    for (let turn = 0; turn < 16; turn++)
      expect((await initiator.outcome()).data.length).to.equal(512);
  });

  it('gives each response the next StatSN', async () => {
    const numbers: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      numbers.push((await initiator.command({ cdb: [0] })).last.uint32(24));
    }
    expect(numbers).to.deep.equal([numbers[0], numbers[0]! + 1, numbers[0]! + 2]);
  });

  it('returns sense data behind its length', async () => {
    const { last } = await initiator.command({ cdb: read10(0xfffffff0, 1), read: 512 });
    expect(last.byte(3)).to.equal(2);
    const { data } = last;
    expect(data[0]! * 256 + data[1]!).to.equal(data.length - 2);
    expect([data[4]! & 0xf, data[14], data[15]]).to.deep.equal([5, 0x21, 0]);
  });

  it('echoes a ping', async () => {
    const data = Buffer.from('are you there');
    const words = [RESERVED_TAG, initiator.cmdSn++];
    const tag = initiator.send({ opcode: Opcode.nopOut, words, data });
    const pong = await initiator.expect(Opcode.nopIn);
    expect(pong.uint32(16)).to.equal(tag);
    expect(pong.uint32(20)).to.equal(RESERVED_TAG);
    expect(Buffer.from(pong.data).equals(data)).to.equal(true);
  });

  it('refuses a SNACK and unknown opcodes, and goes on', async () => {
    const tag = initiator.send({ opcode: Opcode.snackRequest });
    const snack = await initiator.expect(Opcode.reject);
    expect(snack.byte(2)).to.equal(0x03);
    expect(Buffer.from(snack.data).readUInt32BE(16)).to.equal(tag);
    initiator.send({ opcode: 0x1c, immediate: true });
    expect((await initiator.expect(Opcode.reject)).byte(2)).to.equal(0x05);
    expect((await initiator.command({ cdb: [0] })).last.byte(3)).to.equal(0);
  });

  it('refuses a task tag that is in use, and goes on', async () => {
    target.volume.deferred = true;
    const tag = initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    initiator.sendCommand({ cdb: [0], tag });
    expect((await initiator.expect(Opcode.reject)).byte(2)).to.equal(0x07);
    target.volume.deferred = false;
    target.volume.settle();
    expect((await initiator.outcome()).last.uint32(16)).to.equal(tag);
  });

  const BROKEN: readonly [what: string, reason: number, send: (from: TestInitiator) => void][] = [
    ['data without W', 9, (from) => from.sendCommand({ cdb: [0], data: Buffer.alloc(8) })],
    ['a reserved attribute', 9, (from) => from.sendCommand({ cdb: [0], flags: FINAL_BIT | 7 })],
    ['neither F nor W', 9, (from) => from.sendCommand({ cdb: [0], flags: 0 })],
    [
      'more data than is expected',
      9,
      (from) => from.sendCommand({ cdb: write10(0, 1), write: 4, data: Buffer.alloc(8) }),
    ],
    ['a login in full feature phase', 4, (from) => from.sendLogin([])],
    [
      'additional headers that do not add up',
      9,
      (from) =>
        from.send({
          opcode: Opcode.scsiCommand,
          words: [0, from.cmdSn],
          // What is sent as data is an additional header by what the lengths say.
          data: Buffer.from([0, 9, 1, 0]),
          patch: (header) => header.set([1, 0, 0, 0], 4),
        }),
    ],
  ];
  for (const [what, reason, send] of BROKEN) {
    it(`rejects ${what} and closes, as nothing can be recovered`, async () => {
      send(initiator);
      expect((await initiator.expect(Opcode.reject)).byte(2)).to.equal(reason);
      expect(await initiator.next()).to.equal(null);
      expect(target.server.sessions()).to.deep.equal([]);
    });
  }

  it('tells its address to those who ask for the target that they use, and no other', async () => {
    const ask = async (value: string): Promise<string[]> => {
      const words = [RESERVED_TAG, initiator.cmdSn++];
      initiator.send({ opcode: Opcode.textRequest, words, data: text(`SendTargets=${value}`) });
      return TestInitiator.pairs(await initiator.expect(Opcode.textResponse));
    };
    const here = [`TargetName=${TARGET_NAME}`, `TargetAddress=127.0.0.1:${target.port},1`];
    expect(await ask('')).to.deep.equal(here);
    expect(await ask(TARGET_NAME)).to.deep.equal(here);
    expect(await ask('All')).to.deep.equal(['SendTargets=Reject']);
  });

  it('takes a new segment length in full feature phase, and nothing else', async () => {
    const words = [RESERVED_TAG, initiator.cmdSn++];
    const data = text('MaxRecvDataSegmentLength=512', 'HeaderDigest=CRC32C', 'Odd=1');
    initiator.send({ opcode: Opcode.textRequest, words, data });
    const answer = TestInitiator.pairs(await initiator.expect(Opcode.textResponse));
    expect(answer).to.deep.equal(['HeaderDigest=Reject', 'Odd=NotUnderstood']);
    initiator.sendCommand({ cdb: read10(0, 2), read: 1024 });
    expect((await initiator.expect(Opcode.dataIn)).dataBytes).to.equal(512);
  });

  const LOGOUTS: readonly [what: string, reason: number, cid: number, response: number][] = [
    ['the session', 0, 0, 0],
    ['its connection', 1, 0, 0],
    ['a connection that is not there', 1, 9, 1],
    ['for recovery', 2, 0, 2],
  ];
  for (const [what, reason, cid, response] of LOGOUTS) {
    it(`answers a logout of ${what}`, async () => {
      const words = [cid << 16, initiator.cmdSn++];
      initiator.send({ opcode: Opcode.logoutRequest, flags: FINAL_BIT | reason, words });
      expect((await initiator.expect(Opcode.logoutResponse)).byte(2)).to.equal(response);
      if (response === 0) {
        expect(await initiator.next()).to.equal(null);
        expect(target.server.sessions()).to.deep.equal([]);
      } else {
        expect((await initiator.command({ cdb: [0] })).last.byte(3)).to.equal(0);
      }
    });
  }

  it('survives any bytes after login, and serves the others', async () => {
    const other = await target.connect();
    await other.login([], { isid: 7 });
    await other.command({ cdb: [0] });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 48, maxLength: 200 }), async (bytes) => {
        const attacker = await target.connect();
        await attacker.login([], { isid: 9 });
        bytes[5] = 0;
        bytes[6] = 0;
        attacker.socket.end(bytes);
        let pdu: PduView | null;
        do pdu = await attacker.next();
        while (pdu !== null);
        expect((await other.command({ cdb: [0] })).last.byte(3)).to.equal(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe('connection states', () => {
  it('lead from login through full feature phase to the end, and never back', () => {
    expect(isTransitionValid('login', 'full-feature')).to.equal(true);
    expect(isTransitionValid('full-feature', 'finishing')).to.equal(true);
    expect(isTransitionValid('full-feature', 'login')).to.equal(false);
    expect(isTransitionValid('closed', 'login')).to.equal(false);
    expect(isTransitionValid('finishing', 'full-feature')).to.equal(false);
  });
});

describe('digests', () => {
  it('cover headers and data in both directions once they are negotiated', async () => {
    const target = await TestTarget.start();
    const initiator = await target.connect();
    await initiator.login(['HeaderDigest=CRC32C', 'DataDigest=CRC32C']);
    initiator.useDigests();
    await initiator.command({ cdb: [0] });
    const data = Buffer.alloc(1024, 0x5a);
    await initiator.command({ cdb: write10(0, 2), write: 1024, data });
    const answer = await initiator.command({ cdb: read10(0, 2), read: 1024 });
    expect(answer.data.equals(data)).to.equal(true);
    await target.stop();
  });

  it('end the connection when a header is damaged, and reject damaged data', async () => {
    const target = await TestTarget.start();
    for (const [damage, counted] of [
      [20, 1],
      [53, 2],
    ] as const) {
      const initiator = await target.connect();
      await initiator.login(['HeaderDigest=CRC32C', 'DataDigest=CRC32C']);
      initiator.useDigests();
      await initiator.command({ cdb: [0] });
      initiator.damageAt = damage;
      const data = Buffer.alloc(512, 0x5a);
      initiator.sendCommand({ cdb: write10(0, 1), write: 512, data });
      if (damage > 48) expect((await initiator.expect(Opcode.reject)).byte(2)).to.equal(0x02);
      expect(await initiator.next()).to.equal(null);
      expect(target.server.counters.digestErrors).to.equal(counted);
    }
    await target.stop();
  });
});

describe('liveness', () => {
  it('closes who does not log in within 15 s', async () => {
    const clock = new ManualClock();
    const target = await TestTarget.start({ clock });
    const idle = await target.connect();
    await target.login();
    clock.advance(14_999);
    expect(target.server.counters.loginsFailed.timeout).to.equal(0);
    clock.advance(1);
    expect(target.server.counters.loginsFailed.timeout).to.equal(1);
    expect(await idle.next()).to.equal(null);
    expect(target.server.sessions().length).to.equal(1);
    await target.stop();
  });

  it('asks a silent initiator for a sign of life, and drops it when there is none', async () => {
    const clock = new ManualClock();
    const target = await TestTarget.start({ clock });
    const initiator = await target.login();
    clock.advance(30_000);
    const ping = await initiator.expect(Opcode.nopIn);
    expect(ping.uint32(16)).to.equal(RESERVED_TAG);
    const words = [ping.uint32(20), initiator.cmdSn];
    initiator.send({ opcode: Opcode.nopOut, immediate: true, tag: RESERVED_TAG, words });
    await initiator.command({ cdb: [0] });
    clock.advance(30_000);
    await initiator.expect(Opcode.nopIn);
    clock.advance(30_000);
    expect(await initiator.next()).to.equal(null);
    expect(target.server.counters.keepaliveTimeouts).to.equal(1);
    await target.stop();
  });
});
