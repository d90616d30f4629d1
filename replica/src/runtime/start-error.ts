export type StartErrorCode = 'ADDRESS_IN_USE' | 'ADDRESS_FORBIDDEN' | 'ADDRESS_UNKNOWN';

/** A daemon cannot start; the message is shown to people as it is: what, why, what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly code: StartErrorCode;

  constructor(code: StartErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
