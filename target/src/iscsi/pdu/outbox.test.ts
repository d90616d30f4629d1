import { expect } from 'chai';
import fc from 'fast-check';
import { SlabPool } from '@openebs/replica/runtime';
import { PduDecoder } from './decoder.ts';
import { BHS_BYTES } from './fields.ts';
import { COPY_LIMIT_BYTES, Outbox, type ByteSink } from './outbox.ts';

class Pipe implements ByteSink {
  written: Uint8Array[] = [];
  writes = 0;
  writableLength = 0;
  stuck = false;
  /** Callbacks of what a stuck socket holds. */
  readonly holding: (() => void)[] = [];
  #corked = false;

  cork(): void {
    this.#corked = true;
  }

  uncork(): void {
    this.#corked = false;
    this.writes++;
  }

  write(bytes: Uint8Array, taken: () => void): boolean {
    if (!this.#corked) this.writes++;
    if (this.stuck) {
      this.holding.push(taken);
      // A busy socket keeps the reference.
      this.writableLength += bytes.length;
      this.written.push(bytes);
    } else {
      this.written.push(Uint8Array.from(bytes));
      taken();
    }
    return !this.stuck;
  }

  /** The kernel takes what is there: what was lent goes back. */
  drain(): void {
    this.written = this.written.map((bytes) => Uint8Array.from(bytes));
    this.writableLength = 0;
    for (const taken of this.holding.splice(0)) taken();
  }

  get stream(): Buffer {
    return Buffer.concat(this.written);
  }
}

const send = (outbox: Outbox, tag: number, data: readonly Uint8Array[]): void => {
  const at = outbox.begin();
  outbox.slab[at + 16] = tag;
  outbox.load(data);
  outbox.finish(
    at,
    data.reduce((sum, each) => sum + each.length, 0),
  );
};

const decode = (stream: Uint8Array, digests: { header: boolean; data: boolean }) => {
  const seen: { tag: number; data: string; intact: boolean }[] = [];
  const faults: string[] = [];
  const decoder = new PduDecoder(
    {
      pdu: (pdu) => {
        const data = Buffer.from(pdu.data).toString('hex');
        seen.push({ tag: pdu.byte(16), data, intact: pdu.dataIntact });
        return true;
      },
      fault: (fault) => faults.push(fault),
      reserve: () => undefined,
    },
    0xffffff,
  );
  decoder.headerDigest = digests.header;
  decoder.dataDigest = digests.data;
  expect(decoder.consume(stream, 0, stream.length)).to.equal(stream.length);
  expect(faults).to.deep.equal([]);
  return seen;
};

describe('Outbox', () => {
  it('encodes what the decoder reads, with and without digests, whatever the slices', () => {
    const slices = fc.array(fc.uint8Array({ maxLength: 6000 }), { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(slices, { minLength: 1, maxLength: 30 }),
        fc.record({ header: fc.boolean(), data: fc.boolean() }),
        (pdus, digests) => {
          const pipe = new Pipe();
          const outbox = new Outbox(pipe, new SlabPool(2 ** 20));
          outbox.headerDigest = digests.header;
          outbox.dataDigest = digests.data;
          pdus.forEach((data, index) => send(outbox, index, data));
          outbox.flush();
          expect(pipe.writes).to.equal(1);
          expect(decode(pipe.stream, digests)).to.deep.equal(
            pdus.map((data, index) => ({
              tag: index,
              data: Buffer.concat(data).toString('hex'),
              intact: true,
            })),
          );
          expect(outbox.bytes).to.equal(pipe.stream.length);
          expect(outbox.pdus).to.equal(pdus.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('cuts one list of slices into several PDUs', () => {
    const pipe = new Pipe();
    const outbox = new Outbox(pipe, new SlabPool(2 ** 20));
    const data = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index & 0xff));
    outbox.load([data.subarray(0, 10), data.subarray(10, 30_000), data.subarray(30_000)]);
    for (let offset = 0; offset < data.length; offset += 12_000) {
      outbox.finish(outbox.begin(), Math.min(12_000, data.length - offset));
    }
    outbox.flush();
    const seen = decode(pipe.stream, { header: false, data: false });
    expect(seen.map((each) => each.data).join('')).to.equal(data.toString('hex'));
  });

  it('does not write over what a busy socket still holds', () => {
    const pipe = new Pipe();
    pipe.stuck = true;
    const outbox = new Outbox(pipe, new SlabPool(2 ** 20));
    for (let turn = 0; turn < 200; turn++) {
      send(outbox, turn, [Buffer.alloc(3000, turn)]);
      expect(outbox.flush()).to.be.greaterThan(0);
    }
    const seen = decode(pipe.stream, { header: false, data: false });
    expect(seen.map(({ tag }) => tag)).to.deep.equal(Array.from({ length: 200 }, (_, i) => i));
    expect(
      seen.every(({ tag, data }) => data.startsWith(tag.toString(16).padStart(2, '0'))),
    ).to.equal(true);
  });

  it('sends long data by reference and copies short data', () => {
    const pipe = new Pipe();
    pipe.stuck = true;
    const outbox = new Outbox(pipe, new SlabPool(2 ** 20));
    const long = new Uint8Array(COPY_LIMIT_BYTES + 1);
    const short = new Uint8Array(COPY_LIMIT_BYTES);
    send(outbox, 1, [long]);
    send(outbox, 2, [short]);
    outbox.flush();
    expect(pipe.written.some((each) => each.buffer === long.buffer)).to.equal(true);
    expect(pipe.written.some((each) => each.buffer === short.buffer)).to.equal(false);
    expect(pipe.stream.length).to.equal(2 * BHS_BYTES + COPY_LIMIT_BYTES + 4 + COPY_LIMIT_BYTES);
  });

  it('holds what it lends to a busy socket until that has taken it, and only so long', () => {
    const pipe = new Pipe();
    const pool = new SlabPool(2 ** 20);
    const outbox = new Outbox(pipe, pool);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
        (lengths, busy) => {
          pipe.written = [];
          lengths.forEach((length, index) => {
            pipe.stuck = busy[index % busy.length] === true;
            if (!pipe.stuck) pipe.drain();
            const slab = pool.take(length);
            const data = slab.buffer.subarray(0, length).fill(index + 1);
            const at = outbox.begin();
            outbox.slab[at + 16] = index;
            outbox.load([data], slab);
            outbox.finish(at, length);
            slab.release();
            outbox.flush();
            // Whoever comes next gets whatever is free, and writes over it.
            pool.take(length).buffer.fill(0xee);
          });
          pipe.drain();
          const seen = decode(pipe.stream, { header: false, data: false });
          expect(seen.map(({ data }) => data)).to.deep.equal(
            lengths.map((length, index) => Buffer.alloc(length, index + 1).toString('hex')),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gives back what it holds when it is closed before it was sent', () => {
    const slab = new SlabPool(2 ** 20).take(100_000);
    const outbox = new Outbox(new Pipe(), new SlabPool(2 ** 20));
    outbox.load([slab.buffer], slab);
    outbox.finish(outbox.begin(), slab.buffer.length);
    expect(slab.shared).to.equal(true);
    outbox.close();
    expect(slab.shared).to.equal(false);
    outbox.flush();
  });

  it('writes nothing when there is nothing', () => {
    const pipe = new Pipe();
    new Outbox(pipe, new SlabPool(2 ** 20)).flush();
    expect(pipe.writes).to.equal(0);
  });
});
