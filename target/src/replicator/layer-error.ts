export type LayerErrorCode =
  | 'NAME' // no name for a snapshot
  | 'EXISTS'
  | 'NOT_FOUND'
  | 'LIMIT'
  | 'IN_USE' // initiators would see the volume change under them
  | 'NOT_READY'; // nothing was changed, or what was is found out by the next activation

/** A change of the layers was not made; the message says why and what to do. */
export class LayerError extends Error {
  override readonly name = 'LayerError';
  readonly code: LayerErrorCode;

  constructor(code: LayerErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
