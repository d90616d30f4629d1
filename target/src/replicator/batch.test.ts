import { expect } from 'chai';
import fc from 'fast-check';
import {
  computeSegmentChecksums,
  epoch,
  FrameDecoder,
  seq,
  session,
  verifySegments,
  VolumeKey,
} from '@openebs/replica/protocol';
import { Batch, type KeptPayload } from './batch.ts';
import { SlabPool } from '@openebs/replica/runtime';

const VOLUME_ID = '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279';

interface Seen {
  readonly kind: string;
  readonly seq: number;
  readonly offset: number;
  readonly payload: Buffer;
}

const bytesOf = (batch: Batch): Buffer => Buffer.concat(batch.pieces().map(({ bytes }) => bytes));

const decode = (bytes: Buffer): Seen[] => {
  const seen: Seen[] = [];
  const decoder = new FrameDecoder((frame) => {
    expect(frame.isOf(new VolumeKey(VOLUME_ID))).to.equal(true);
    expect([frame.epoch, frame.session]).to.deep.equal([7, 99]);
    if (frame.kind === 'write') {
      expect(verifySegments(frame.offsetBytes, frame.chunks, frame.table)).to.equal(-1);
    }
    const { kind, offsetBytes: offset, payload } = frame;
    seen.push({ kind, seq: frame.seq, offset, payload: Buffer.from(payload) });
  });
  const end = decoder.consume(bytes, 0, bytes.length, { reserve: () => undefined, paused: false });
  expect(end).to.equal(bytes.length);
  return seen;
};

const make = (): Batch => {
  const batch = new Batch(VOLUME_ID, new SlabPool(2 ** 23));
  batch.setSession(epoch(7), session(99));
  return batch;
};

const nothingKept = (): KeptPayload => ({
  slab: null,
  tableStart: 0,
  payloadStart: 0,
  payloadEnd: 0,
});

const write = fc.record({
  sector: fc.nat(100),
  sectors: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(512, 1024)),
  cut: fc.nat(2000),
  fill: fc.integer({ min: 1, max: 255 }),
});

describe('Batch', () => {
  it('gives back every operation in order, whatever the slabs and chunks', () => {
    fc.assert(
      fc.property(fc.array(fc.array(write, { maxLength: 12 }), { maxLength: 6 }), (turns) => {
        const batch = make();
        let number = 0;
        for (const turn of turns) {
          const expected: Seen[] = [];
          for (const { sector, sectors, cut, fill } of turn) {
            const payload = Buffer.alloc(sectors * 512, fill);
            const chunks = [payload.subarray(0, cut), payload.subarray(cut)];
            const kept = nothingKept();
            batch.write(seq(++number), sector * 512, chunks, kept);
            expected.push({ kind: 'write', seq: number, offset: sector * 512, payload });
            kept.slab?.release();
          }
          const seen = decode(bytesOf(batch));
          expect(seen.map((each) => each.seq)).to.deep.equal(expected.map((each) => each.seq));
          seen.forEach(({ offset, payload }, index) => {
            expect(offset).to.equal(expected[index]!.offset);
            expect(payload.equals(expected[index]!.payload)).to.equal(true);
          });
          batch.clear();
          expect(batch.empty).to.equal(true);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('keeps a payload for as long as an operation holds it, though the batch was cleared', () => {
    const batch = make();
    const kept = nothingKept();
    batch.write(seq(1), 4096, [Buffer.alloc(4096, 5)], kept);
    batch.clear();
    for (let turn = 2; turn < 300; turn++) {
      const other = nothingKept();
      batch.write(seq(turn), 0, [Buffer.alloc(4096, 9)], other);
      batch.clear();
      other.slab?.release();
    }
    batch.rewrite(seq(300), 4096, kept);
    expect(decode(bytesOf(batch))).to.deep.equal([
      { kind: 'write', seq: 300, offset: 4096, payload: Buffer.alloc(4096, 5) },
    ]);
  });

  it('sends on what has arrived elsewhere from where it stands, in its place, and lets go of it then', () => {
    const batch = make();
    const slab = new SlabPool(2 ** 20).take(16 * 1024);
    const data = slab.buffer.subarray(4096, 12 * 1024).fill(6);
    const table = Buffer.alloc(8);
    computeSegmentChecksums(4096, [data], table);
    batch.unmap(seq(1), 0, 4096);
    batch.forward(seq(2), 4096, { data, table, slab });
    batch.unmap(seq(3), 0, 4096);
    expect(batch.pieces().some((piece) => piece.slab === slab)).to.equal(true);
    expect(slab.shared).to.equal(true);
    const seen = decode(bytesOf(batch));
    expect(seen.map(({ kind, seq: number }) => [kind, number])).to.deep.equal([
      ['unmap', 1],
      ['write', 2],
      ['unmap', 3],
    ]);
    expect(seen[1]!.offset).to.equal(4096);
    expect(seen[1]!.payload.equals(data)).to.equal(true);
    batch.clear();
    expect(slab.shared).to.equal(false);
  });

  it('does not write over what a socket has still to send', () => {
    const batch = make();
    const sent: { bytes: Uint8Array; copy: Buffer; release: () => void }[] = [];
    for (let turn = 1; turn <= 400; turn++) {
      const kept = nothingKept();
      batch.write(seq(turn), 0, [Buffer.alloc(4096, turn % 251)], kept);
      kept.slab?.release();
      for (const { slab, bytes } of batch.pieces()) {
        slab.hold();
        sent.push({ bytes, copy: Buffer.from(bytes), release: slab.release });
      }
      batch.clear();
      if (turn % 7 === 0) {
        const oldest = sent.shift();
        expect(oldest?.copy.equals(oldest.bytes)).to.equal(true);
        oldest?.release();
      }
    }
    for (const { bytes, copy } of sent) expect(copy.equals(bytes)).to.equal(true);
  });
});
