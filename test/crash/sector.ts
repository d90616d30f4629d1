import type { Stamp } from './register-checker.ts';
import { EMPTY, Violation } from './register-checker.ts';

/**
 * What a sector of 512 bytes looks like: 64 words of eight bytes, each with the stamp and its own
 * place on the volume, so that a sector that was torn, moved or mixed with another one is found.
 */
export const SECTOR_BYTES = 512;
const WORDS = SECTOR_BYTES / 8;

/** `first` is the address of the first sector on the volume. */
export function fillSectors(bytes: Buffer, first: number, stamp: Stamp): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let place = (first * WORDS) >>> 0;
  for (let at = 0; at < words.length; at += 2) {
    words[at] = stamp;
    words[at + 1] = place;
    place = (place + 1) >>> 0;
  }
}

/** The stamp of each sector; throws a Violation where a sector is not what one write made. */
export function readStamps(bytes: Buffer, first: number): Stamp[] {
  // A copy where the bytes are not aligned for words.
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(bytes);
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
  const stamps: Stamp[] = [];
  for (let sector = 0; sector < bytes.length / SECTOR_BYTES; sector++) {
    const begin = sector * WORDS * 2;
    const stamp = words[begin]!;
    let place = stamp === EMPTY ? 0 : ((first + sector) * WORDS) >>> 0;
    for (let at = begin; at < begin + WORDS * 2; at += 2) {
      if (words[at] !== stamp || words[at + 1] !== place) {
        throw new Violation(
          `sector ${first + sector}: byte ${(at - begin) * 4} holds ${words[at] ?? 0} ` +
            `at place ${words[at + 1] ?? 0}, expected ${stamp} at ${place}: ` +
            'torn, misplaced or damaged',
        );
      }
      if (stamp !== EMPTY) place = (place + 1) >>> 0;
    }
    stamps.push(stamp);
  }
  return stamps;
}
