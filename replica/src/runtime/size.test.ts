import { expect } from 'chai';
import fc from 'fast-check';
import { formatSize, parseSize, SizeError } from './size.ts';

describe('sizes', () => {
  it('are exact, with Kubernetes units and without', () => {
    expect(parseSize('1GiB')).to.equal(2 ** 30);
    expect(parseSize('512Mi')).to.equal(2 ** 29);
    expect(parseSize('10G')).to.equal(1e10);
    expect(parseSize('1.5 TiB')).to.equal(1.5 * 2 ** 40);
    expect(parseSize('64tib')).to.equal(2 ** 46);
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(String(bytes)) === bytes));
  });

  it('say what is allowed where something else was typed', () => {
    for (const text of ['', 'GiB', '-1', '1e9', '12 apples', '1.5', '0x10', '9'.repeat(30)]) {
      expect(() => parseSize(text), text).to.throw(SizeError);
    }
    expect(() => parseSize('12q')).to.throw(SizeError, '1GiB');
    expect(() => parseSize('9007199254740993')).to.throw(SizeError, 'too large');
  });

  it('are shown in IEC units', () => {
    expect(formatSize(2 ** 30)).to.equal('1 GiB');
    expect(formatSize(1536)).to.equal('1.5 KiB');
    expect(formatSize(0)).to.equal('0 B');
  });
});
