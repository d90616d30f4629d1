/**
 * Goal: a replica daemon answers a target as the protocol says: who may speak, in which order, and
 * what comes back. Method: real daemons on sockets, a raw client that says right and wrong things.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Daemon, ReadyLine } from '../support/daemons.ts';
import { startReplica, temporaryDirectory } from '../support/daemons.ts';
import { ReplicaClient } from '../support/replica-client.ts';

const SIZE = 64 * 1024 * 1024;

describe('a replica daemon', () => {
  const volumeId = randomUUID();
  const directory = temporaryDirectory();
  let daemon: Daemon;
  let ready: ReadyLine;
  let address: string;
  let nextEpoch = 1;
  const clients: ReplicaClient[] = [];

  before(async () => {
    daemon = startReplica({
      dir: join(directory.path, 'r1'),
      'volume-id': volumeId,
      size: String(SIZE),
    });
    ready = await daemon.ready;
    address = ready.listen!;
  });

  after(async () => {
    await daemon.stop();
    directory.remove();
  });

  afterEach(() => {
    for (const client of clients.splice(0)) client.end();
  });

  const connectTo = async (to = address): Promise<ReplicaClient> => {
    const client = await ReplicaClient.connect(to, volumeId);
    clients.push(client);
    return client;
  };

  const serve = async (): Promise<ReplicaClient> => {
    const client = await ReplicaClient.serve(address, volumeId, {
      epoch: nextEpoch++,
      session: 7,
    });
    clients.push(client);
    return client;
  };

  it('reads back what was written and flushed, with checksums that agree', async () => {
    const client = await serve();
    const data = randomBytes(3 * 4096 + 512);
    client.write(1, 8192 - 512, data);
    await client.acked(1);
    expect((await client.request({ kind: 'flush' })).kind).to.equal('done');
    const answer = await client.read(8192 - 512, data.length);
    expect(answer.verified).to.equal(true);
    expect(answer.payload.equals(data)).to.equal(true);
  });

  it('acknowledges what arrives together once, and in order', async () => {
    const client = await serve();
    const frames = Array.from({ length: 50 }, (_, index) =>
      client.writeFrame(index + 1, index * 4096, Buffer.alloc(4096, index + 1)),
    );
    client.write(51, 0, Buffer.alloc(4096, 99));
    // The first write of a region waits for its mark; from then on nothing waits.
    await client.acked(51);
    client.received.length = 0;
    const later = frames.map((_, index) =>
      client.writeFrame(52 + index, index * 4096, Buffer.alloc(4096, index)),
    );
    client.socket.write(Buffer.concat(later));
    await client.acked(101);
    expect(client.received.filter(({ kind }) => kind === 'ack').length).to.be.lessThan(10);
    expect((await client.read(49 * 4096, 4096)).payload[0]).to.equal(49);
  });

  it('reads after the writes that were sent before, also when they come together', async () => {
    const client = await serve();
    for (let round = 0; round < 20; round++) {
      client.write(round + 1, 32 * 1024 * 1024, Buffer.alloc(4096, round));
      const answer = await client.read(32 * 1024 * 1024, 4096);
      expect(answer.payload[0]).to.equal(round);
    }
  });

  it('carries reads larger than any of its buffers, many at a time', async () => {
    const client = await serve();
    const data = randomBytes(8 * 1024 * 1024);
    client.write(1, 0, data);
    await client.acked(1);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => client.read(0, 8 * 1024 * 1024)),
    );
    for (const answer of answers) {
      expect(answer.verified).to.equal(true);
      expect(answer.payload.equals(data)).to.equal(true);
    }
  });

  it('tells bitmap, checksums and versions as they are after the writes before', async () => {
    const client = await serve();
    const offsetBytes = 48 * 1024 * 1024;
    client.write(1, offsetBytes + 4096, Buffer.alloc(4096, 1));
    const range = { offsetBytes, lengthBytes: 1024 * 1024 };
    const bitmap = await client.request({ kind: 'allocation', ...range });
    expect(bitmap.kind).to.equal('bitmap');
    expect(bitmap.payload).to.have.length(32);
    expect(bitmap.payload[0]).to.equal(2);
    const checksums = await client.request({ kind: 'extent-checksums', ...range });
    expect(checksums.kind).to.equal('checksums');
    expect(checksums.payload).to.have.length(1024);
    expect(checksums.payload.readUInt32LE(0)).to.equal(0);
    expect(checksums.payload.readUInt32LE(4)).not.to.equal(0);
    const versions = await client.request({ kind: 'extent-versions', ...range });
    expect(versions.kind).to.equal('versions');
    expect(versions.payload).to.have.length(16);
  });

  it('unmaps to zeroes', async () => {
    const client = await serve();
    client.write(1, 0, Buffer.alloc(65536, 5));
    client.frame({ kind: 'unmap', seq: 2, offsetBytes: 4096, lengthBytes: 8192 });
    await client.acked(2);
    const answer = await client.read(0, 65536);
    expect(answer.verified).to.equal(true);
    expect(answer.payload.subarray(4096, 12288).every((byte) => byte === 0)).to.equal(true);
    expect(answer.payload[0]).to.equal(5);
    expect(answer.payload[12288]).to.equal(5);
  });

  it('keeps documents and the record, and refuses an older record', async () => {
    const client = await serve();
    const epoch = (await client.request({ kind: 'ping' })).epoch;
    const content = randomBytes(1000);
    const put = { kind: 'document-put', name: 'reservations', content } as const;
    expect((await client.requestMessage(put)).kind).to.equal('done');
    const got = await client.requestMessage({ kind: 'document-get', name: 'reservations' });
    expect(got.message).to.deep.equal({ kind: 'document', name: 'reservations', content });
    const absent = await client.requestMessage({ kind: 'document-get', name: 'nothing' });
    expect(absent.message).to.deep.equal({ kind: 'document', name: 'nothing', content: null });
    const record = { volumeId, epoch: epoch as never, configSeq: 2, inSync: [], voters: [] };
    expect((await client.requestMessage({ kind: 'record', record })).kind).to.equal('done');
    const older = { ...record, configSeq: 1 };
    const refused = await client.requestMessage({ kind: 'record', record: older });
    expect(refused.message).to.include({ kind: 'failed-request', code: 'RECORD_STALE' });
    const status = await client.request({ kind: 'status-get' });
    expect(status.message).to.nested.include({ 'state.record.configSeq': 2 });
  });

  it('answers a read beyond the end with an error, and goes on', async () => {
    const client = await serve();
    const beyond = await client.read(SIZE - 4096, 8192);
    expect(beyond.message).to.include({ kind: 'failed-request', code: 'OUT_OF_RANGE' });
    expect((await client.read(SIZE - 4096, 4096)).kind).to.equal('data');
  });

  it('ends an older session with `fenced` when a newer one promises', async () => {
    const older = await serve();
    older.write(1, 0, Buffer.alloc(4096, 1));
    await older.acked(1);
    const newer = await serve();
    const fenced = await older.next('fenced');
    expect(fenced.message).to.have.property('promisedEpoch', nextEpoch - 1);
    await older.closed;
    expect((await newer.read(0, 4096)).payload[0]).to.equal(1);
  });

  it('fences a promise of a lower epoch, and leaves the session that it serves alone', async () => {
    const serving = await serve();
    const late = await connectTo();
    await late.hello();
    const answer = await late.promise({ epoch: 1, session: 3 });
    expect(answer.kind).to.equal('fenced');
    await late.closed;
    expect((await serving.request({ kind: 'ping' })).kind).to.equal('pong');
  });

  it('fences the same epoch of another session, and lets the same session come back', async () => {
    const first = await serve();
    const epoch = nextEpoch - 1;
    const other = await connectTo();
    await other.hello();
    expect((await other.promise({ epoch, session: 8 })).kind).to.equal('fenced');
    expect((await first.request({ kind: 'ping' })).kind).to.equal('pong');
    const again = await connectTo();
    await again.hello();
    expect((await again.promise({ epoch, session: 7 })).kind).to.equal('promised');
    await first.next('fenced');
    await first.closed;
  });

  it('fences frames that name another epoch than the one promised', async () => {
    const client = await serve();
    client.setSession({ epoch: nextEpoch + 100, session: 7 });
    client.write(1, 0, Buffer.alloc(4096));
    expect((await client.next('fenced')).kind).to.equal('fenced');
    await client.closed;
  });

  it('refuses a target of another volume, and says whose it is', async () => {
    const client = await connectTo();
    const answer = await client.hello(randomUUID());
    expect(answer).to.include({ kind: 'refused', code: 'WRONG_VOLUME' });
    expect(answer).to.have.property('message').that.includes(volumeId);
    await client.closed;
  });

  it('refuses a version that it does not speak', async () => {
    const client = await connectTo();
    client.message({ kind: 'hello', protocolVersions: [9], volumeId, targetName: 'later' });
    const refused = await client.next('refused');
    expect(refused.message).to.include({ code: 'NO_COMMON_VERSION' });
  });

  it('refuses who speaks something else, at the fourth byte', async () => {
    const client = await connectTo();
    client.socket.write('GET ');
    const refused = await client.next('refused');
    expect(refused.message).to.include({ code: 'WRONG_MAGIC' });
    await client.closed;
  });

  it('refuses writes before the promise', async () => {
    const client = await connectTo();
    await client.hello();
    client.write(1, 0, Buffer.alloc(4096));
    expect((await client.next('refused')).message).to.include({ code: 'UNEXPECTED_KIND' });
  });

  it('ends a stream whose payload arrived damaged, and applies nothing of that write', async () => {
    const client = await serve();
    client.write(1, 0, Buffer.alloc(4096, 1));
    await client.acked(1);
    const frame = client.writeFrame(2, 0, Buffer.alloc(4096, 2));
    frame[frame.length - 1] = 3;
    client.socket.write(frame);
    expect((await client.next('failed')).message).to.include({ code: 'PAYLOAD_CHECKSUM' });
    await client.closed;
    const next = await serve();
    expect((await next.read(0, 4096)).payload.every((byte) => byte === 1)).to.equal(true);
  });

  it('ends a stream that goes backwards or leaves the volume', async () => {
    const backwards = await serve();
    backwards.write(5, 0, Buffer.alloc(512));
    backwards.write(5, 0, Buffer.alloc(512));
    expect((await backwards.next('failed')).message).to.include({ code: 'UNEXPECTED_SEQ' });
    const beyond = await serve();
    beyond.write(1, SIZE, Buffer.alloc(512));
    expect((await beyond.next('failed')).message).to.include({ code: 'OUT_OF_RANGE' });
  });

  it('lets a target in however many idle connections there are', async () => {
    const { host, port } = split(address);
    const idle = Array.from({ length: 40 }, () => connect({ host, port }));
    for (const socket of idle) socket.on('error', () => undefined);
    const client = await serve();
    expect((await client.request({ kind: 'ping' })).kind).to.equal('pong');
    for (const socket of idle) socket.destroy();
  });

  it('shows over HTTP whom it serves', async () => {
    await serve();
    const status = await (await fetch(`http://${ready.control}/v1/status`)).json();
    expect(status).to.have.nested.property('identity.volumeId', volumeId);
    expect(status).to.have.nested.property('session.target', 'test');
    const metrics = await (await fetch(`http://${ready.control}/metrics`)).text();
    expect(metrics).to.match(
      /^openebs_replica_write_ops_total\{volume="[^"]+",replica="[^"]+"\} \d/m,
    );
    expect((await fetch(`http://${ready.control}/readyz`)).status).to.equal(200);
  });
});

const split = (address: string): { host: string; port: number } => {
  const [host, port] = address.split(':');
  return { host: host!, port: Number(port) };
};
