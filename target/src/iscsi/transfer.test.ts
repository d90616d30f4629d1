import { expect } from 'chai';
import { TestTarget, read10, write10, type TestInitiator } from './initiator.test-support.ts';
import type { PduView } from './pdu/decoder.ts';
import { FINAL_BIT, Opcode, OVERFLOW_BIT, UNDERFLOW_BIT } from './pdu/fields.ts';

const BLOCK = 512;
const pattern = (bytes: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, index) => (index * 7 + seed) & 0xff));

const status = (pdu: PduView): number => pdu.byte(3);
const residual = (pdu: PduView): [flags: number, count: number] => [
  pdu.flags & (OVERFLOW_BIT | UNDERFLOW_BIT),
  pdu.uint32(44),
];
/** Sense key, ASC and ASCQ. */
const sense = (pdu: PduView): number[] => {
  const data = pdu.data;
  return [data[4]! & 0xf, data[14]!, data[15]!];
};

describe('data transfer', () => {
  let target: TestTarget;
  let initiator: TestInitiator;
  beforeEach(async () => {
    target = await TestTarget.start();
    initiator = await target.login('InitialR2T=No', 'ImmediateData=Yes', 'FirstBurstLength=4096');
  });
  afterEach(() => target.stop());

  const read = async (lba: number, blocks: number): Promise<Buffer> =>
    (await initiator.command({ cdb: read10(lba, blocks), read: blocks * BLOCK })).data;

  it('reads back immediate data, the status collapsed into the last Data-In', async () => {
    const data = pattern(2 * BLOCK, 1);
    const { last } = await initiator.command({ cdb: write10(8, 2), write: data.length, data });
    expect(status(last)).to.equal(0);
    const answer = await initiator.command({ cdb: read10(8, 2), read: data.length });
    expect(answer.data.equals(data)).to.equal(true);
    expect(answer.last.opcode).to.equal(Opcode.dataIn);
    expect(answer.last.flags).to.equal(FINAL_BIT | 1);
  });

  it('collects unsolicited and solicited data, several R2Ts at once, in order', async () => {
    const other = await target.connect();
    await other.login(
      ['InitialR2T=No', 'FirstBurstLength=1024', 'MaxBurstLength=1024', 'MaxOutstandingR2T=2'],
      { isid: 2 },
    );
    await other.command({ cdb: [0] });
    const data = pattern(8 * BLOCK, 2);
    const tag = other.sendCommand({
      cdb: write10(0, 8),
      write: data.length,
      data: data.subarray(0, 512),
      flags: 0,
    });
    other.sendDataOut({ tag, dataSn: 0, offset: 512, data: data.subarray(512, 1024), final: true });
    let outstanding: PduView[] = [
      await other.expect(Opcode.readyToTransfer),
      await other.expect(Opcode.readyToTransfer),
    ];
    for (let turn = 0; turn < 3; turn++) {
      const [r2t, ...rest] = outstanding;
      expect(r2t!.uint32(36)).to.equal(turn);
      expect(r2t!.uint32(40)).to.equal(1024 + turn * 1024);
      expect(r2t!.uint32(44)).to.equal(1024);
      const offset = r2t!.uint32(40);
      for (const part of [0, 1]) {
        other.sendDataOut({
          tag,
          transferTag: r2t!.uint32(20),
          dataSn: part,
          offset: offset + part * 512,
          data: data.subarray(offset + part * 512, offset + part * 512 + 512),
          final: part === 1,
        });
      }
      outstanding = rest;
      if (turn === 0) outstanding.push(await other.expect(Opcode.readyToTransfer));
    }
    const { last } = await other.outcome();
    expect(status(last)).to.equal(0);
    expect((await read(0, 8)).equals(data)).to.equal(true);
  });

  it('cuts Data-In at the initiator segment length and ends each burst with F', async () => {
    const other = await target.connect();
    await other.login(['MaxRecvDataSegmentLength=1024', 'MaxBurstLength=2048'], { isid: 3 });
    await other.command({ cdb: [0] });
    other.sendCommand({ cdb: read10(0, 10), read: 10 * BLOCK });
    const seen: [sn: number, offset: number, bytes: number, flags: number][] = [];
    for (;;) {
      const pdu = await other.expect(Opcode.dataIn);
      seen.push([pdu.uint32(36), pdu.uint32(40), pdu.dataBytes, pdu.flags]);
      if ((pdu.flags & 1) !== 0) break;
    }
    expect(seen).to.deep.equal([
      [0, 0, 1024, 0],
      [1, 1024, 1024, FINAL_BIT],
      [2, 2048, 1024, 0],
      [3, 3072, 1024, FINAL_BIT],
      [4, 4096, 1024, FINAL_BIT | 1],
    ]);
  });

  const RESIDUALS: readonly [what: string, expected: number, flags: number, count: number][] = [
    ['none', BLOCK, 0, 0],
    ['underflow', 10_000, UNDERFLOW_BIT, 10_000 - BLOCK],
    ['overflow of a part', 200, OVERFLOW_BIT, BLOCK - 200],
  ];
  for (const [what, bytes, flags, count] of RESIDUALS) {
    it(`tells the residual of a read: ${what}`, async () => {
      const { data, last } = await initiator.command({ cdb: read10(0, 1), read: bytes });
      expect(status(last)).to.equal(0);
      expect(data.length).to.equal(Math.min(bytes, BLOCK));
      expect(residual(last)).to.deep.equal([flags, count]);
    });
  }

  it('tells the overflow of a read for which nothing was expected', async () => {
    const { last } = await initiator.command({ cdb: read10(0, 1), flags: FINAL_BIT | 0x40 });
    expect(status(last)).to.equal(0);
    expect(residual(last)).to.deep.equal([OVERFLOW_BIT, BLOCK]);
  });

  it('drops what a write does not need, and tells the underflow', async () => {
    const data = pattern(3000, 3);
    const tag = initiator.sendCommand({
      cdb: write10(4, 1),
      write: 3000,
      data: data.subarray(0, 1000),
      flags: 0,
    });
    initiator.sendDataOut({ tag, dataSn: 0, offset: 1000, data: data.subarray(1000), final: true });
    const { last } = await initiator.outcome();
    expect(status(last)).to.equal(0);
    expect(residual(last)).to.deep.equal([UNDERFLOW_BIT, 3000 - BLOCK]);
    const stored = await read(4, 2);
    expect(stored.subarray(0, BLOCK).equals(data.subarray(0, BLOCK))).to.equal(true);
    expect(stored.subarray(BLOCK).every((byte) => byte === 0)).to.equal(true);
  });

  it('writes whole blocks of what was expected, and tells the overflow', async () => {
    const data = pattern(BLOCK, 4);
    const { last } = await initiator.command({ cdb: write10(6, 2), write: BLOCK, data });
    expect(status(last)).to.equal(0);
    expect(residual(last)).to.deep.equal([OVERFLOW_BIT, BLOCK]);
    expect((await read(6, 1)).equals(data)).to.equal(true);
  });

  it('executes a command that needs no data although data came', async () => {
    const data = pattern(BLOCK, 5);
    const { last } = await initiator.command({ cdb: read10(0, 1), write: BLOCK, data });
    expect(last.opcode).to.equal(Opcode.scsiResponse);
    expect(status(last)).to.equal(0);
  });

  const SEQUENCE: readonly [what: string, pieces: readonly [sn: number, offset: number][]][] = [
    [
      'a DataSN twice',
      [
        [0, 0],
        [0, 512],
      ],
    ],
    [
      'a DataSN too high',
      [
        [0, 0],
        [27, 512],
      ],
    ],
    [
      'a DataSN below zero',
      [
        [0xffffffff, 0],
        [0, 512],
      ],
    ],
    [
      'the pieces in the wrong order',
      [
        [1, 512],
        [0, 0],
      ],
    ],
    [
      'a gap between the offsets',
      [
        [0, 0],
        [1, 1024],
      ],
    ],
  ];
  for (const [what, pieces] of SEQUENCE) {
    it(`ends the task, not the session, on ${what}`, async () => {
      const tag = initiator.sendCommand({ cdb: write10(0, 2), write: 2 * BLOCK, flags: 0 });
      pieces.forEach(([dataSn, offset], index) => {
        const final = index === pieces.length - 1;
        initiator.sendDataOut({ tag, dataSn, offset, data: pattern(BLOCK, 6), final });
      });
      const { last } = await initiator.outcome();
      expect(status(last)).to.equal(2);
      expect(sense(last)).to.deep.equal([0x0b, 0x47, 0x05]);
      expect((await read(0, 2)).every((byte) => byte === 0)).to.equal(true);
    });
  }

  it('ends the task when an R2T is answered with too little or too much', async () => {
    for (const bytes of [512, 2048]) {
      const tag = initiator.sendCommand({ cdb: write10(0, 2), write: 2 * BLOCK });
      const r2t = await initiator.expect(Opcode.readyToTransfer);
      const transferTag = r2t.uint32(20);
      const data = pattern(bytes, 7);
      initiator.sendDataOut({ tag, transferTag, dataSn: 0, offset: 0, data, final: true });
      const { last } = await initiator.outcome();
      expect(sense(last)).to.deep.equal([0x0b, 0x0c, 0x0d]);
    }
  });

  it('ends the task on unsolicited data that was not negotiated', async () => {
    const strict = await target.connect();
    await strict.login(['InitialR2T=Yes', 'ImmediateData=No'], { isid: 4 });
    await strict.command({ cdb: [0] });
    const data = pattern(BLOCK, 8);
    const { last } = await strict.command({ cdb: write10(0, 1), write: BLOCK, data });
    expect(sense(last)).to.deep.equal([0x0b, 0x0c, 0x0c]);
    const tag = strict.sendCommand({ cdb: write10(0, 1), write: BLOCK, flags: 0 });
    strict.sendDataOut({ tag, dataSn: 0, offset: 0, data, final: true });
    expect(sense((await strict.outcome()).last)).to.deep.equal([0x0b, 0x0c, 0x0c]);
  });

  it('ends the task on a first burst that is too long', async () => {
    const data = pattern(5 * 1024, 9);
    const { last } = await initiator.command({ cdb: write10(0, 10), write: data.length, data });
    expect(sense(last)).to.deep.equal([0x0b, 0x0c, 0x0d]);
  });

  it('ignores data for a task that is gone, and rejects a tag that was never given', async () => {
    const data = pattern(BLOCK, 10);
    initiator.sendDataOut({ tag: 999, dataSn: 0, offset: 0, data, final: true });
    await initiator.command({ cdb: [0] });
    expect(target.server.counters.strayDataOut).to.equal(1);
    const tag = initiator.sendCommand({ cdb: write10(0, 1), write: BLOCK });
    await initiator.expect(Opcode.readyToTransfer);
    initiator.sendDataOut({ tag, transferTag: 77_777, dataSn: 0, offset: 0, data, final: true });
    const reject = await initiator.expect(Opcode.reject);
    expect(reject.byte(2)).to.equal(0x09);
    expect(await initiator.next()).to.equal(null);
  });

  it('lets large transfers wait for each other and finishes them all', async () => {
    const big = 2048;
    const tags = Array.from({ length: 40 }, () =>
      initiator.sendCommand({ cdb: read10(0, big), read: big * BLOCK }),
    );
    const done = new Set<number>();
    while (done.size < tags.length) {
      const pdu = await initiator.expect(Opcode.dataIn);
      if ((pdu.flags & 1) !== 0) done.add(pdu.uint32(16));
    }
    expect([...done].sort((a, b) => a - b)).to.deep.equal(tags);
  });
});
