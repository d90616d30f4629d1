import { expect } from 'chai';
import fc from 'fast-check';
import { crc32cBytes } from './crc32c.ts';
import type { Digests, Pdu } from './pdu.ts';
import {
  encodePdu,
  newHeader,
  NO_DIGESTS,
  Opcode,
  opcodeOf,
  PduReader,
  ProtocolViolation,
} from './pdu.ts';
import { decodeBinary, decodeText, encodeBinary, encodeText } from './text.ts';

const digests = fc.record({ header: fc.boolean(), data: fc.boolean() });
const payloads = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 6 });

const wire = (data: readonly Uint8Array[], with_: Digests): Buffer =>
  Buffer.concat(data.flatMap((each) => encodePdu(newHeader(Opcode.nopIn, 0x80), each, with_)));

function read(chunks: readonly Buffer[], with_: Digests): Pdu[] {
  const reader = new PduReader();
  reader.digests = with_;
  const pdus: Pdu[] = [];
  for (const chunk of chunks) reader.feed(chunk, (pdu) => pdus.push(pdu));
  return pdus;
}

describe('the PDUs of the test initiator', () => {
  it('come out the same however the stream is cut', () => {
    fc.assert(
      fc.property(payloads, digests, fc.integer({ min: 1, max: 60 }), (data, with_, size) => {
        const bytes = wire(data, with_);
        const cuts: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) cuts.push(bytes.subarray(at, at + size));
        for (const pdus of [read([bytes], with_), read(cuts, with_)]) {
          expect(pdus.map((pdu) => opcodeOf(pdu))).to.deep.equal(data.map(() => Opcode.nopIn));
          expect(pdus.map((pdu) => Buffer.from(pdu.data))).to.deep.equal(
            data.map((each) => Buffer.from(each)),
          );
        }
      }),
    );
  });

  it('are refused with a digest that is wrong, or longer than declared', () => {
    const bytes = wire([Buffer.from('data')], { header: true, data: true });
    for (const at of [0, 20, 48, 52, 56]) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 1;
      expect(() => read([damaged], { header: true, data: true })).to.throw(ProtocolViolation);
    }
    expect(() => read([wire([Buffer.alloc(8193)], NO_DIGESTS)], NO_DIGESTS)).to.throw('declared');
  });

  it('have the digests of RFC 7143 appendix A.4', () => {
    expect(crc32cBytes(Buffer.alloc(32)).toString('hex')).to.equal('aa36918a');
    expect(crc32cBytes(Buffer.alloc(32, 0xff)).toString('hex')).to.equal('43aba862');
    expect(crc32cBytes(Buffer.from([...Array(32).keys()])).toString('hex')).to.equal('4e79dd46');
  });
});

describe('the text of the test initiator', () => {
  it('comes back as it was', () => {
    const pairs: [string, string][] = [
      ['InitiatorName', 'iqn.a:b'],
      ['Empty', ''],
    ];
    expect(decodeText(encodeText(pairs))).to.deep.equal(pairs);
    expect(() => decodeText(Buffer.from('a=b'))).to.throw(ProtocolViolation);
    expect(() => decodeText(Buffer.from('=b\0'))).to.throw(ProtocolViolation);
  });

  it('has binary values in hexadecimal and base64', () => {
    expect(decodeBinary(encodeBinary(Buffer.from([1, 0xab])))).to.deep.equal(
      Buffer.from([1, 0xab]),
    );
    expect(decodeBinary('0xabc')).to.deep.equal(Buffer.from([0x0a, 0xbc]));
    expect(decodeBinary('0bAas=')).to.deep.equal(Buffer.from([1, 0xab]));
    expect(() => decodeBinary('12')).to.throw(ProtocolViolation);
  });
});
