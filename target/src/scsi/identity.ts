/** Names of the logical unit, all derived from the volume's id. SPC-4 7.8.6 */

export const VENDOR = 'OpenEBS';
export const PRODUCT = 'Volume';

/**
 * The volume id's 16 bytes; an id that is no UUID gives its first 16 characters, so that it still
 * tells volumes apart.
 */
export function volumeIdBytes(volumeId: string): Uint8Array {
  const hex = volumeId.replaceAll('-', '');
  const bytes = new Uint8Array(16);
  const isUuid = /^[0-9a-f]{32}$/iu.test(hex);
  for (let i = 0; i < 16; i += 1) {
    bytes[i] = isUuid ? Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16) : hex.charCodeAt(i);
  }
  return bytes;
}

/**
 * SPC-4 7.8.6.6.4: NAA 3h, locally assigned: 60 bits of the volume id. The project has no IEEE
 * company id.
 */
export function localNaa(volumeId: string): Uint8Array {
  const id = volumeIdBytes(volumeId);
  const naa = new Uint8Array(8);
  // The two ends of the id are folded together: a UUID's version digits carry nothing.
  for (let i = 0; i < 8; i += 1) naa[i] = (id[i] ?? 0) ^ (id[i + 8] ?? 0);
  naa[0] = 0x30 | ((naa[0] ?? 0) & 0x0f);
  return naa;
}
