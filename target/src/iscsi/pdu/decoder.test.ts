import { expect } from 'chai';
import fc from 'fast-check';
import { Receiver } from '@openebs/replica/runtime';
import { PduDecoder, type DecodeFault, type PduView } from './decoder.ts';
import { BHS_BYTES, Opcode } from './fields.ts';
import { digest, setDigest } from './digest.ts';
import { padded, setUint24 } from './bytes.ts';

interface Seen {
  header: string;
  ahs: string;
  data: string;
  intact: boolean;
}

interface Sample {
  readonly ahsWords: number;
  readonly data: Uint8Array;
  readonly fill: number;
}

interface Digests {
  readonly header: boolean;
  readonly data: boolean;
}

const encode = ({ ahsWords, data, fill }: Sample, digests: Digests): Buffer => {
  const headerBytes = BHS_BYTES + ahsWords * 4;
  const header = Buffer.alloc(headerBytes + (digests.header ? 4 : 0), fill);
  header[0] = Opcode.scsiCommand;
  header[4] = ahsWords;
  setUint24(header, 5, data.length);
  if (digests.header) setDigest(header, headerBytes, digest(header.subarray(0, headerBytes)));
  const body = Buffer.alloc(padded(data.length));
  body.set(data);
  if (!digests.data || data.length === 0) return Buffer.concat([header, body]);
  const sum = Buffer.alloc(4);
  setDigest(sum, 0, digest(body));
  return Buffer.concat([header, body, sum]);
};

const harness = (digests: Digests, limit = 1024 * 1024) => {
  const seen: Seen[] = [];
  const faults: DecodeFault[] = [];
  const receiver: Receiver = new Receiver((buffer, start, end) =>
    decoder.consume(buffer, start, end),
  );
  const decoder: PduDecoder = new PduDecoder(
    {
      pdu: (pdu: PduView) => {
        seen.push({
          header: Buffer.from(pdu.copy(0, BHS_BYTES)).toString('hex'),
          ahs: Buffer.from(pdu.ahs).toString('hex'),
          data: Buffer.from(pdu.data).toString('hex'),
          intact: pdu.dataIntact,
        });
        return true;
      },
      fault: (fault) => faults.push(fault),
      reserve: (bytes) => receiver.reserve(bytes),
    },
    limit,
  );
  decoder.ahsAllowed = true;
  decoder.headerDigest = digests.header;
  decoder.dataDigest = digests.data;
  return { seen, faults, receiver, decoder };
};

const sample: fc.Arbitrary<Sample> = fc.record({
  ahsWords: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 })),
  data: fc.uint8Array({ maxLength: 3000 }),
  fill: fc.integer({ min: 0, max: 255 }),
});
const digestChoice = fc.record({ header: fc.boolean(), data: fc.boolean() });

describe('PduDecoder', () => {
  it('gives the same PDUs however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(sample, { minLength: 1, maxLength: 8 }),
        digestChoice,
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }),
        (samples, digests, cuts) => {
          const stream = Buffer.concat(samples.map((each) => encode(each, digests)));
          const whole = harness(digests);
          whole.receiver.feed(stream);
          const cut = harness(digests);
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const take = cuts[turn % cuts.length]!;
            cut.receiver.feed(stream.subarray(at, at + take));
            at += take;
          }
          expect(whole.faults).to.deep.equal([]);
          expect(whole.seen.map(({ data }) => data)).to.deep.equal(
            samples.map(({ data }) => Buffer.from(data).toString('hex')),
          );
          expect(cut.seen).to.deep.equal(whole.seen);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('gives the same PDUs byte by byte', () => {
    const digests = { header: true, data: true };
    const samples = [
      { ahsWords: 2, data: Uint8Array.of(1, 2, 3), fill: 7 },
      { ahsWords: 0, data: new Uint8Array(0), fill: 9 },
      { ahsWords: 0, data: new Uint8Array(512).fill(5), fill: 1 },
    ];
    const { receiver, seen } = harness(digests);
    for (const each of samples) {
      for (const byte of encode(each, digests)) receiver.feed(Uint8Array.of(byte));
    }
    expect(seen.map(({ data }) => data.length / 2)).to.deep.equal([3, 0, 512]);
    expect(seen.every(({ intact }) => intact)).to.equal(true);
  });

  it('survives any bytes, and never reserves more than its caps allow', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000 }), digestChoice, (bytes, digests) => {
        let reserved = 0;
        const decoder = new PduDecoder(
          { pdu: () => true, fault: () => undefined, reserve: (n) => (reserved = n) },
          8192,
        );
        decoder.headerDigest = digests.header;
        decoder.dataDigest = digests.data;
        const at = decoder.consume(bytes, 0, bytes.length);
        expect(at).to.be.within(0, bytes.length);
        expect(reserved).to.be.at.most(BHS_BYTES + 255 * 4 + 4 + 8192 + 4);
      }),
      { numRuns: 300 },
    );
  });

  it('believes no length of a header whose digest is wrong', () => {
    const digests = { header: true, data: false };
    const pdu = encode({ ahsWords: 0, data: new Uint8Array(16), fill: 0 }, digests);
    pdu[6] = 0xff;
    const { receiver, seen, faults } = harness(digests);
    receiver.feed(pdu.subarray(0, BHS_BYTES + 4));
    expect(seen).to.deep.equal([]);
    expect(faults).to.deep.equal(['header-digest']);
  });

  it('marks data whose digest is wrong and goes on with the next PDU', () => {
    const digests = { header: false, data: true };
    const bad = encode({ ahsWords: 0, data: new Uint8Array(16), fill: 0 }, digests);
    bad[BHS_BYTES] = 1;
    const good = encode({ ahsWords: 0, data: Uint8Array.of(4), fill: 0 }, digests);
    const { receiver, seen } = harness(digests);
    receiver.feed(Buffer.concat([bad, good]));
    expect(seen.map(({ intact }) => intact)).to.deep.equal([false, true]);
  });

  it('refuses a data segment above the cap before it has arrived', () => {
    const { receiver, faults } = harness({ header: false, data: false }, 8192);
    const header = Buffer.alloc(BHS_BYTES);
    setUint24(header, 5, 8193);
    receiver.feed(header);
    expect(faults).to.deep.equal(['data-segment-too-long']);
  });

  it('refuses additional header segments before login', () => {
    const { receiver, faults, decoder } = harness({ header: false, data: false });
    decoder.ahsAllowed = false;
    receiver.feed(
      encode({ ahsWords: 1, data: new Uint8Array(0), fill: 0 }, { header: false, data: false }),
    );
    expect(faults).to.deep.equal(['ahs-not-allowed']);
  });

  it('keeps a retained PDU when the buffer is used again', () => {
    let kept: PduView | null = null;
    const decoder = new PduDecoder(
      {
        pdu: (pdu) => {
          kept = pdu.retain();
          return true;
        },
        fault: () => undefined,
        reserve: () => undefined,
      },
      8192,
    );
    const bytes = encode(
      { ahsWords: 0, data: Uint8Array.of(1, 2, 3), fill: 6 },
      { header: false, data: false },
    );
    decoder.consume(bytes, 0, bytes.length);
    bytes.fill(0xee);
    const retained = kept as PduView | null;
    expect([...retained!.data]).to.deep.equal([1, 2, 3]);
    expect(retained!.byte(20)).to.equal(6);
  });
});
