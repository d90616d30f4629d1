import type { Random } from '../support/random.ts';

/** Numbers that break arithmetic and limits. */
const EDGES = [
  0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0xffff, 0x10000, 0xffffff, 0x1000000,
  0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
] as const;

/**
 * Changes one message the way a broken or malicious peer would; most of it stays right, so that it
 * gets deep.
 */
export function mutate(message: Buffer, headerBytes: number, random: Random): Buffer {
  // The header is where the decisions are.
  const limit = random.chance(0.8) ? Math.min(headerBytes, message.length) : message.length;
  const at = random.below(limit);
  switch (random.below(10)) {
    case 0:
      return message.subarray(0, random.below(message.length + 1));
    case 1:
      return Buffer.concat([message, garbage(random, random.between(1, 64))]);
    case 2: {
      const [before, after] = [message.subarray(0, at), message.subarray(at)];
      return Buffer.concat([before, garbage(random, random.between(1, 9)), after]);
    }
    case 3:
      return Buffer.concat([message, message]);
    case 4:
    case 5: {
      const copy = Buffer.from(message);
      const edge = random.pick(EDGES);
      if (at + 4 > copy.length) return copy;
      if (random.chance(0.5)) copy.writeUInt32BE(edge, at);
      else copy.writeUInt32LE(edge, at);
      return copy;
    }
    case 6: {
      const copy = Buffer.from(message);
      copy[at] = random.pick([0, 0xff, random.below(256)]);
      return copy;
    }
    default: {
      const copy = Buffer.from(message);
      for (let flips = random.between(1, 4); flips > 0; flips--) {
        copy[random.below(limit)]! ^= 1 << random.below(8);
      }
      return copy;
    }
  }
}

export function garbage(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  random.fill(bytes);
  return bytes;
}
