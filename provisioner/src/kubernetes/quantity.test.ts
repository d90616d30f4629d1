import { expect } from 'chai';
import fc from 'fast-check';
import { formatQuantity, parseQuantity, QuantityError, roundUp } from './quantity.ts';

describe('a quantity', () => {
  it('is read with every suffix that the API server takes', () => {
    const cases: readonly [string, bigint][] = [
      ['0', 0n],
      ['1', 1n],
      ['1073741824', 1n << 30n],
      ['10Gi', 10n << 30n],
      ['1.5Gi', 3n << 29n],
      ['.5Ki', 512n],
      ['1.', 1n],
      ['500M', 500_000_000n],
      ['1e3', 1000n],
      ['1E3', 1000n],
      ['2E', 2n * 10n ** 18n],
      ['123e-1', 13n],
      ['1500m', 2n],
      ['1n', 1n],
      ['+5k', 5000n],
      ['8Ei', 8n << 60n],
      ['9007199254740993', 9007199254740993n],
    ];
    for (const [text, bytes] of cases) expect(parseQuantity(text), text).to.equal(bytes);
  });

  it('is refused where the API server refuses it', () => {
    for (const text of ['', 'Gi', '1GiB', '1 Gi', '1.2.3', '0x10', '1K', '1gi', 'NaN', '--1']) {
      expect(() => parseQuantity(text), text).to.throw(QuantityError);
    }
  });

  it('is written so that it is read as the same', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 70n }), (bytes) => {
        expect(parseQuantity(formatQuantity(bytes))).to.equal(bytes);
      }),
    );
    expect(formatQuantity(10n << 30n)).to.equal('10Gi');
    expect(formatQuantity((10n << 30n) + 4096n)).to.equal('10485764Ki');
  });

  it('rounds up', () => {
    expect(roundUp(1n, 4096n)).to.equal(4096n);
    expect(roundUp(4096n, 4096n)).to.equal(4096n);
  });
});
