import { expect } from 'chai';
import fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_IO_BYTES, MAX_JSON_BYTES, MAX_PAYLOAD_BYTES } from '../limits.ts';
import { Receiver } from '../runtime/receiver.ts';
import { computeSegmentChecksums, crc32Range, segmentTableBytes } from './checksum.ts';
import { FrameDecoder } from './decoder.ts';
import { FrameEncoder, frameFields } from './encoder.ts';
import { ProtocolError } from './errors.ts';
import type { Frame } from './frame.ts';
import type { FrameKind } from './kinds.ts';
import { KIND_CODES } from './kinds.ts';
import * as layout from './layout.ts';
import { HEADER_BYTES } from './layout.ts';
import { epoch, session } from './types.ts';

const VOLUME = '6f1c3c52-7d5b-4c4e-9a39-1f9f5b0d7a11';
const CORPUS = join(import.meta.dirname, '..', '..', '..', 'test', 'corpus', 'protocol');

const encoder = new FrameEncoder(VOLUME);
encoder.setSession(epoch(3), session(2 ** 52 + 12345));

const bulk = (kind: 'write' | 'data', offsetBytes: number, payload: Buffer): Buffer => {
  const tableBytes = segmentTableBytes(offsetBytes, payload.length);
  const buffer = Buffer.alloc(HEADER_BYTES + tableBytes + payload.length);
  computeSegmentChecksums(offsetBytes, [payload], buffer, HEADER_BYTES);
  buffer.set(payload, HEADER_BYTES + tableBytes);
  const lengthBytes = payload.length;
  const fields = { ...frameFields(kind), seq: 77, offsetBytes, lengthBytes, requestId: 5 };
  encoder.header(buffer, 0, { ...fields, tableBytes, payloadBytes: lengthBytes });
  return buffer;
};

const control = (kind: FrameKind, payload: Buffer | null = null): Buffer =>
  encoder.frame({ ...frameFields(kind), requestId: 9, offsetBytes: 2 ** 45, seq: 1 }, payload);

const show = (frame: Frame): string =>
  [
    frame.kind,
    frame.volumeId,
    frame.epoch,
    frame.session,
    frame.seq,
    frame.offsetBytes,
    frame.lengthBytes,
    frame.requestId,
    Buffer.from(frame.table).toString('hex'),
    crc32Range(frame.payload, 0, frame.payload.length),
    frame.chunks[0].length,
  ].join(' ');

/** The frames that a stream decodes to when it arrives in these pieces. */
const decode = (pieces: readonly Buffer[]): string[] => {
  const frames: string[] = [];
  const decoder = new FrameDecoder((frame) => frames.push(show(frame)));
  const receiver: Receiver = new Receiver((buffer, start, end) =>
    decoder.consume(buffer, start, end, receiver),
  );
  for (const piece of pieces) receiver.feed(piece);
  return frames;
};

const codeOf = (bytes: Buffer): string => {
  try {
    decode([bytes]);
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return 'none';
};

/** A changed header with a checksum that is right again. */
const patched = (frame: Buffer, patch: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.from(frame);
  patch(bytes);
  bytes.writeUInt32LE(crc32Range(bytes, 0, layout.AT_HEADER_CHECKSUM), layout.AT_HEADER_CHECKSUM);
  return bytes;
};

const frameArbitrary = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('write' as const, 'data' as const),
      fc.nat(20),
      fc.integer({ min: 1, max: 20 }),
    )
    .map(([kind, first, count]) => bulk(kind, first * 512, Buffer.alloc(count * 512, count))),
  fc
    .constantFrom('ping' as const, 'flush' as const, 'ack' as const, 'bye' as const)
    .map((kind) => control(kind)),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => control('versions', Buffer.from(bytes))),
);

describe('FrameDecoder', () => {
  it('gives back what was encoded', () => {
    const payload = Buffer.alloc(5 * 512, 3);
    expect(decode([bulk('write', 7 * 512, payload)])).to.deep.equal([
      [
        `write ${VOLUME} 3 ${2 ** 52 + 12345} 77 3584 2560 5`,
        bulk('write', 7 * 512, payload)
          .subarray(80, 88)
          .toString('hex'),
        crc32Range(payload, 0, payload.length),
        2560,
      ].join(' '),
    ]);
  });

  it('decodes the same frames byte by byte, in any pieces, and as a whole', () => {
    fc.assert(
      fc.property(
        fc.array(frameArbitrary, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 6 }),
        (frames, sizes) => {
          const stream = Buffer.concat(frames);
          const whole = decode([stream]);
          expect(whole).to.have.length(frames.length);
          const pieces: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const size = sizes[turn % sizes.length]!;
            pieces.push(stream.subarray(at, at + size));
            at += size;
          }
          expect(decode(pieces)).to.deep.equal(whole);
        },
      ),
      { numRuns: 60 },
    );
    const stream = Buffer.concat([
      control('ping'),
      bulk('write', 512, Buffer.alloc(1024)),
      control('bye'),
    ]);
    expect(decode(Array.from(stream, (byte) => Buffer.of(byte)))).to.deep.equal(decode([stream]));
  });

  it('refuses any change of a single bit, or never calls the frame complete', () => {
    const frame = control('document-get', Buffer.from('{"name":"a"}'));
    fc.assert(
      fc.property(fc.nat(frame.length * 8 - 1), (bit) => {
        const damaged = Buffer.from(frame);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        expect(codeOf(damaged)).not.to.equal('none');
      }),
    );
  });

  it('throws nothing but ProtocolError, whatever arrives', () => {
    const seeds = [
      control('ping'),
      bulk('write', 0, Buffer.alloc(512)),
      control('status', Buffer.from('{}')),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(79), fc.nat(255)), { maxLength: 8 }),
        fc.boolean(),
        fc.uint8Array({ maxLength: 200 }),
        (seed, changes, repaired, tail) => {
          const change = (bytes: Buffer): void => {
            for (const [at, value] of changes) bytes[at] = value;
          };
          const bytes = repaired ? patched(seed, change) : Buffer.from(seed);
          if (!repaired) change(bytes);
          codeOf(Buffer.concat([bytes, tail]));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('refuses each length above its cap when the header is there, before it makes room', () => {
    const lengths = (length: number, table: number, payload: number) => (bytes: Buffer) => {
      bytes.writeUInt32LE(length, layout.AT_LENGTH);
      bytes.writeUInt32LE(table, layout.AT_TABLE_BYTES);
      bytes.writeUInt32LE(payload, layout.AT_PAYLOAD_BYTES);
    };
    const write = bulk('write', 0, Buffer.alloc(512)).subarray(0, HEADER_BYTES);
    const json = control('hello', Buffer.from('{}')).subarray(0, HEADER_BYTES);
    const bytes = control('bitmap', Buffer.alloc(1)).subarray(0, HEADER_BYTES);
    const big = MAX_IO_BYTES + 512;
    expect(codeOf(patched(write, lengths(big, segmentTableBytes(0, big), big)))).to.equal(
      'TOO_LARGE',
    );
    expect(codeOf(patched(write, lengths(512, 0xffff_fffc, 512)))).to.equal('TOO_LARGE');
    expect(codeOf(patched(json, lengths(0, 4, MAX_JSON_BYTES + 1)))).to.equal('TOO_LARGE');
    expect(codeOf(patched(bytes, lengths(0, 4, MAX_PAYLOAD_BYTES + 1)))).to.equal('TOO_LARGE');
    expect(codeOf(patched(write, lengths(512, 8, 512)))).to.equal('MALFORMED_FRAME');
    expect(codeOf(patched(write, lengths(512, 4, 1024)))).to.equal('MALFORMED_FRAME');
    expect(codeOf(patched(control('ping'), lengths(0, 0, 1)))).to.equal('MALFORMED_FRAME');
  });

  it('has a code for each way to be wrong', () => {
    const ping = control('ping');
    const withByte = (at: number, value: number): Buffer =>
      patched(ping, (bytes) => (bytes[at] = value));
    expect(codeOf(Buffer.from('GET '))).to.equal('WRONG_MAGIC');
    expect(codeOf(withByte(layout.AT_VERSION, 2))).to.equal('WRONG_VERSION');
    expect(codeOf(withByte(layout.AT_KIND, 200))).to.equal('UNKNOWN_KIND');
    expect(codeOf(withByte(layout.AT_FLAGS, 1))).to.equal('MALFORMED_FRAME');
    expect(codeOf(withByte(layout.AT_EPOCH + 7, 0x20))).to.equal('MALFORMED_FRAME');
    const flipped = Buffer.from(ping);
    flipped[layout.AT_SEQ] = 0xff;
    expect(codeOf(flipped)).to.equal('HEADER_CHECKSUM');
    const table = bulk('write', 0, Buffer.alloc(512));
    table[HEADER_BYTES]! ^= 1;
    expect(codeOf(table)).to.equal('TABLE_CHECKSUM');
    const payload = control('hello', Buffer.from('{}'));
    payload[payload.length - 1]! ^= 1;
    expect(codeOf(payload)).to.equal('PAYLOAD_CHECKSUM');
  });

  it('stops at a pause and keeps what it has not handed out', () => {
    const kinds: string[] = [];
    const source = { paused: false, reserve: () => undefined };
    const decoder = new FrameDecoder((frame) => {
      kinds.push(frame.kind);
      source.paused = true;
    });
    const stream = Buffer.concat([control('ping'), control('flush')]);
    expect(decoder.consume(stream, 0, stream.length, source)).to.equal(HEADER_BYTES);
    source.paused = false;
    decoder.consume(stream, HEADER_BYTES, stream.length, source);
    expect(kinds).to.deep.equal(['ping', 'flush']);
  });

  // Each file's name is `<what must come out>-<name>.bin`, so that a release that breaks the format
  // is found out.
  for (const file of readdirSync(CORPUS).filter((name) => name.endsWith('.bin'))) {
    it(`still answers the kept stream ${file} as before`, () => {
      const expected = file.slice(0, file.indexOf('-'));
      expect(codeOf(readFileSync(join(CORPUS, file)))).to.equal(expected);
    });
  }

  it('keeps the numbers of the kinds that are on the wire', () => {
    expect(KIND_CODES).to.include({
      hello: 1,
      write: 16,
      read: 32,
      welcome: 129,
      ack: 144,
      data: 160,
    });
  });
});
