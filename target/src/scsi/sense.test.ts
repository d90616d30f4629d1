import { expect } from 'chai';
import { hex } from './harness.test-support.ts';
import { Asc, buildSense, SenseKey } from './sense.ts';

const POINTER = { inCdb: true, byte: 0x0123, bit: 5 };

describe('sense data', () => {
  it('has key, code, information and field pointer in fixed format', () => {
    const sense = buildSense(
      false,
      SenseKey.illegalRequest,
      Asc.lbaOutOfRange,
      0x01020304,
      POINTER,
    );
    expect(sense).to.deep.equal(hex('f0 00 05 01 02 03 04 0a 00 00 00 00 21 00 00 cd 01 23'));
  });

  it('has the same in descriptor format, with 64 bits of information', () => {
    const sense = buildSense(true, SenseKey.miscompare, 0x1d00, 0x1_0000_0002, POINTER);
    expect(sense).to.deep.equal(
      hex('72 0e 1d 00 00 00 00 14 00 0a 80 00 00 00 00 01 00 00 00 02 02 06 00 00 cd 01 23 00'),
    );
  });

  it('leaves VALID zero where the information does not fit the fixed format', () => {
    const sense = buildSense(false, SenseKey.mediumError, Asc.unrecoveredReadError, 2 ** 32);
    expect(sense.subarray(0, 7)).to.deep.equal(hex('70 00 03 00 00 00 00'));
  });

  it('points at a byte of a parameter list without a bit', () => {
    const pointer = { inCdb: false, byte: 8, bit: null };
    const sense = buildSense(false, SenseKey.illegalRequest, 0x2600, null, pointer);
    expect(sense.subarray(15)).to.deep.equal(hex('80 00 08'));
  });
});
