/** The only spelling of a volume or replica id: lower case, with hyphens. */
export const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export const isUuid = (text: string): boolean => UUID_PATTERN.test(text);

/**
 * A UUID's sixteen bytes. Throws RangeError where the text is none: the caller has checked what
 * people typed.
 */
export const uuidToBytes = (uuid: string): Buffer => {
  if (!isUuid(uuid)) throw new RangeError(`not a UUID in lower case with hyphens: ${uuid}`);
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
};

export const bytesToUuid = (bytes: Uint8Array): string => {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
};
