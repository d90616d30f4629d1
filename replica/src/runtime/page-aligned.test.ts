import { expect } from 'chai';
import { misalignment, pageAligned } from './page-aligned.ts';

describe('pageAligned', () => {
  it('gives memory of the length asked for that begins where a page does', () => {
    for (const lengthBytes of [1, 4096, 5000, 65_536, 1_048_576]) {
      const memory = pageAligned(lengthBytes);
      expect(memory.length).to.equal(lengthBytes);
      expect(misalignment(memory)).to.equal(0);
    }
    expect(misalignment(pageAligned(100).subarray(30))).to.equal(30);
  });
});
