import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_VOLUME_BYTES } from './limits.ts';
import { formatSize, parseSize, volumeSize } from './size.ts';

describe('sizes', () => {
  it('reads IEC and decimal units and plain bytes', () => {
    expect(parseSize('1GiB')).to.equal(1024 ** 3);
    expect(parseSize('1Gi')).to.equal(1024 ** 3);
    expect(parseSize('1 gib')).to.equal(1024 ** 3);
    expect(parseSize('1G')).to.equal(1e9);
    expect(parseSize('1.5TiB')).to.equal(1.5 * 1024 ** 4);
    expect(parseSize('4096')).to.equal(4096);
    expect(parseSize('10MB')).to.equal(1e7);
  });

  it('refuses what is no size', () => {
    for (const text of ['', 'GiB', '-1GiB', '1XiB', '1e3', '0x10', '1 2', '9999999999999999TiB']) {
      expect(parseSize(text), text).to.equal(null);
    }
  });

  it('never throws and never gives a fraction or a negative number', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const bytes = parseSize(text);
        return bytes === null || (Number.isSafeInteger(bytes) && bytes >= 0);
      }),
    );
  });

  it('writes exact sizes exactly and others with two decimals', () => {
    expect(formatSize(1024 ** 3)).to.equal('1 GiB');
    expect(formatSize(1.5 * 1024 ** 3)).to.equal('1.5 GiB');
    expect(formatSize(1000)).to.equal('1000 B');
    expect(formatSize(1e9)).to.equal('953.67 MiB');
    expect(formatSize(0)).to.equal('0 B');
  });

  it('rounds a volume up to whole blocks and says so', () => {
    expect(volumeSize(1024 ** 2)).to.deep.equal({ bytes: 1024 ** 2, rounded: false });
    expect(volumeSize(1024 ** 2 + 1)).to.deep.equal({ bytes: 1024 ** 2 + 4096, rounded: true });
  });

  it('refuses volumes outside 1 MiB to 64 TiB', () => {
    expect(volumeSize(1024 ** 2 - 1)).to.have.property('reason');
    expect(volumeSize(MAX_VOLUME_BYTES + 1)).to.have.property('reason');
    expect(volumeSize(MAX_VOLUME_BYTES)).to.have.property('bytes', MAX_VOLUME_BYTES);
  });
});
