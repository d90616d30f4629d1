/** Comparing two lists of slices without joining them. */

/**
 * Offset of the first byte that differs within `lengthBytes`, or -1. Both lists are at least that
 * long.
 */
export function firstDifference(
  left: readonly Uint8Array[],
  right: readonly Uint8Array[],
  lengthBytes: number,
): number {
  let leftIndex = 0;
  let rightIndex = 0;
  let leftAt = 0;
  let rightAt = 0;
  let at = 0;
  while (at < lengthBytes) {
    const a = left[leftIndex];
    const b = right[rightIndex];
    if (a === undefined || b === undefined) return at;
    const step = Math.min(a.length - leftAt, b.length - rightAt, lengthBytes - at);
    const found = differenceWithin(a, leftAt, b, rightAt, step);
    if (found >= 0) return at + found;
    at += step;
    leftAt += step;
    rightAt += step;
    if (leftAt === a.length) {
      leftIndex += 1;
      leftAt = 0;
    }
    if (rightAt === b.length) {
      rightIndex += 1;
      rightAt = 0;
    }
  }
  return -1;
}

function differenceWithin(
  a: Uint8Array,
  aAt: number,
  b: Uint8Array,
  bAt: number,
  lengthBytes: number,
): number {
  // The native comparison finds out quickly that there is nothing to look for.
  if (
    Buffer.compare(a.subarray(aAt, aAt + lengthBytes), b.subarray(bAt, bAt + lengthBytes)) === 0
  ) {
    return -1;
  }
  for (let i = 0; i < lengthBytes; i += 1) {
    if (a[aAt + i] !== b[bAt + i]) return i;
  }
  return -1;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
