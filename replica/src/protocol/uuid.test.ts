import { expect } from 'chai';
import fc from 'fast-check';
import { bytesToUuid, isUuid, uuidToBytes } from './uuid.ts';

describe('UUIDs', () => {
  it('come back from their sixteen bytes', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        expect(bytesToUuid(uuidToBytes(uuid))).to.equal(uuid);
      }),
    );
  });

  it('have one spelling', () => {
    expect(isUuid('6F1C3C52-7D5B-4C4E-9A39-1F9F5B0D7A11')).to.equal(false);
    expect(isUuid('6f1c3c527d5b4c4e9a391f9f5b0d7a11')).to.equal(false);
    expect(() => uuidToBytes('demo')).to.throw(RangeError);
  });
});
