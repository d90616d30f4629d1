/** What a peer can do wrong on the wire. Each ends the connection, after it was told the code. */
export type ProtocolErrorCode =
  | 'WRONG_MAGIC' // the peer speaks something else
  | 'WRONG_VERSION'
  | 'HEADER_CHECKSUM'
  | 'UNKNOWN_KIND'
  | 'TOO_LARGE' // a length above its cap; nothing was allocated for it
  | 'MALFORMED_FRAME' // lengths that contradict each other, a number above 2^53, an unknown flag
  | 'TABLE_CHECKSUM'
  | 'PAYLOAD_CHECKSUM'
  | 'MALFORMED_JSON'
  | 'UNEXPECTED_KIND' // a frame that its sender may not send, or not now
  | 'OUT_OF_RANGE' // beyond the volume's end, or no multiple of 512
  | 'UNEXPECTED_SEQ'; // the stream of writes went backwards

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
