import { expect } from 'chai';
import { TestTarget, read10, write10, type TestInitiator } from '../initiator.test-support.ts';
import { FINAL_BIT, Opcode, TaskManagementCode as Code } from '../pdu/fields.ts';

const request = (
  initiator: TestInitiator,
  code: number,
  fields: { lun?: number; refTag?: number; refCmdSn?: number } = {},
): void => {
  const { lun = 0, refTag = 0xffffffff, refCmdSn = 0 } = fields;
  initiator.send({
    opcode: Opcode.taskManagementRequest,
    immediate: true,
    flags: FINAL_BIT | code,
    lun,
    words: [refTag, initiator.cmdSn, 0, refCmdSn],
  });
};

const response = async (initiator: TestInitiator): Promise<number> =>
  (await initiator.expect(Opcode.taskManagementResponse)).byte(2);

/** Sense key, ASC and ASCQ of the next command; null when it is fine. */
const attention = async (initiator: TestInitiator): Promise<number[] | null> => {
  const { last } = await initiator.command({ cdb: [0] });
  return last.byte(3) === 2 ? [last.data[4]! & 0xf, last.data[14]!, last.data[15]!] : null;
};

describe('task management', () => {
  let target: TestTarget;
  let initiator: TestInitiator;
  let other: TestInitiator;
  beforeEach(async () => {
    target = await TestTarget.start();
    initiator = await target.login();
    other = await target.connect();
    await other.login([], { isid: 2 });
    await other.command({ cdb: [0] });
  });
  afterEach(() => target.stop());

  const settle = (): void => {
    target.volume.deferred = false;
    target.volume.settle();
  };

  it('aborts a task that waits for data: no response, and its data is ignored', async () => {
    const tag = initiator.sendCommand({ cdb: write10(0, 1), write: 512 });
    const r2t = await initiator.expect(Opcode.readyToTransfer);
    request(initiator, Code.abortTask, { refTag: tag });
    expect(await response(initiator)).to.equal(0);
    const data = Buffer.alloc(512, 1);
    const transferTag = r2t.uint32(20);
    initiator.sendDataOut({ tag, transferTag, dataSn: 0, offset: 0, data, final: true });
    const read = await initiator.command({ cdb: read10(0, 1), read: 512 });
    expect(read.data.every((byte) => byte === 0)).to.equal(true);
    expect(read.last.uint32(32)).to.equal(initiator.cmdSn + 127);
  });

  it('aborts a task in execution without a response', async () => {
    target.volume.deferred = true;
    const tag = initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    request(initiator, Code.abortTask, { refTag: tag });
    expect(await response(initiator)).to.equal(0);
    settle();
    const next = initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    expect((await initiator.outcome()).last.uint32(16)).to.equal(next);
  });

  it('knows no task that has ended, nor one of another LUN', async () => {
    const { last } = await initiator.command({ cdb: [0] });
    const refCmdSn = initiator.cmdSn - 1;
    request(initiator, Code.abortTask, { refTag: last.uint32(16), refCmdSn });
    expect(await response(initiator)).to.equal(1);
    target.volume.deferred = true;
    const tag = initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    request(initiator, Code.abortTask, { refTag: tag, lun: 1 });
    expect(await response(initiator)).to.equal(1);
    settle();
    expect((await initiator.outcome()).last.uint32(16)).to.equal(tag);
  });

  it('aborts a command that has not arrived, which is then ignored', async () => {
    const missing = initiator.cmdSn;
    initiator.cmdSn = missing + 1;
    const later = initiator.sendCommand({ cdb: [0] });
    request(initiator, Code.abortTask, { refTag: 4711, refCmdSn: missing });
    const { last } = await initiator.outcome();
    expect(last.uint32(16)).to.equal(later);
    expect(await response(initiator)).to.equal(0);
    initiator.sendCommand({ cdb: [0], cmdSn: missing, tag: 4711 });
    const next = initiator.sendCommand({ cdb: [0] });
    expect((await initiator.outcome()).last.uint32(16)).to.equal(next);
    expect(target.server.counters.outsideWindow).to.equal(1);
  });

  it('ABORT TASK SET takes the tasks of its own session only', async () => {
    target.volume.deferred = true;
    initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
    initiator.sendCommand({ cdb: write10(0, 1), write: 512 });
    await initiator.expect(Opcode.readyToTransfer);
    const kept = other.sendCommand({ cdb: read10(0, 1), read: 512 });
    await other.command({ cdb: [0] });
    request(initiator, Code.abortTaskSet);
    await initiator.ping();
    settle();
    expect(await response(initiator)).to.equal(0);
    expect((await other.outcome()).last.uint32(16)).to.equal(kept);
    expect(target.server.sessions().map((each) => each.commandsInFlight)).to.deep.equal([0, 0]);
    expect(await attention(other)).to.equal(null);
  });

  for (const [name, code] of [
    ['CLEAR TASK SET', Code.clearTaskSet],
    ['LOGICAL UNIT RESET', Code.logicalUnitReset],
    ['TARGET WARM RESET', Code.targetWarmReset],
  ] as const) {
    it(`${name} takes the tasks of all sessions and tells the others`, async () => {
      target.volume.deferred = true;
      initiator.sendCommand({ cdb: read10(0, 1), read: 512 });
      other.sendCommand({ cdb: write10(0, 1), write: 512 });
      await other.expect(Opcode.readyToTransfer);
      other.sendCommand({ cdb: read10(8, 1), read: 512 });
      await other.ping();
      request(initiator, code);
      await initiator.ping();
      settle();
      expect(await response(initiator)).to.equal(0);
      expect(target.server.sessions().map((each) => each.commandsInFlight)).to.deep.equal([0, 0]);
      expect((await attention(other))?.[0]).to.equal(6);
    });
  }

  it('TARGET COLD RESET answers, then ends all sessions', async () => {
    request(initiator, Code.targetColdReset);
    expect(await response(initiator)).to.equal(0);
    expect(await initiator.next()).to.equal(null);
    expect(await other.next()).to.equal(null);
    expect(target.server.sessions()).to.deep.equal([]);
  });

  it('answers what it does not do with the code for it', async () => {
    request(initiator, Code.taskReassign);
    expect(await response(initiator)).to.equal(4);
    request(initiator, Code.clearAca);
    expect(await response(initiator)).to.equal(5);
    request(initiator, 0x55);
    expect(await response(initiator)).to.equal(5);
    request(initiator, Code.logicalUnitReset, { lun: 3 });
    expect(await response(initiator)).to.equal(2);
  });
});
