import { expect } from 'chai';
import { badBlocksOf, decodeScrubAnswer, encodeScrubAnswer } from './scrub-answer.ts';
import { EXTENT_BYTES } from './types.ts';

const bits = (...blocks: number[]): Uint8Array => {
  const bitmap = new Uint8Array(32);
  for (const block of blocks) bitmap[block >>> 3] = (bitmap[block >>> 3] ?? 0) | (1 << (block & 7));
  return bitmap;
};

describe('the answer to a scrub', () => {
  const layers = new Map([
    [3, bits(1, 9, 255)],
    [2 ** 40, bits(0)],
  ]);

  it('is read as it was written, with layers and without', () => {
    for (const answer of [
      { bad: bits(9), layers },
      { bad: bits(), layers: new Map<number, Uint8Array>() },
    ]) {
      const { bad, layers: read } = decodeScrubAnswer(encodeScrubAnswer(answer), EXTENT_BYTES);
      expect([...bad]).to.deep.equal([...answer.bad]);
      expect([...read.keys()]).to.deep.equal([...answer.layers.keys()]);
      for (const [id, bitmap] of answer.layers)
        expect([...read.get(id)!]).to.deep.equal([...bitmap]);
    }
  });

  it('counts a block of a layer that is seen in the volume once', () => {
    expect(badBlocksOf({ bad: bits(9), layers })).to.equal(4);
  });

  it('of another length than it must have is refused', () => {
    const bytes = encodeScrubAnswer({ bad: bits(9), layers });
    for (const length of [0, 31, 33, bytes.length - 1]) {
      const read = () => decodeScrubAnswer(bytes.subarray(0, length), EXTENT_BYTES);
      expect(read, `${length}`).to.throw(/answer to a scrub/);
    }
  });
});
