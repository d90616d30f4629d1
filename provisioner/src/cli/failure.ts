/** What mayactl's exit code says to a script. */
export const EXIT = {
  ok: 0,
  error: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  unreachable: 5,
  degraded: 6,
} as const;

/**
 * An error in words for a person: what and why (`message`), what to do (`next`), and for a script
 * the exit code.
 */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  readonly exitCode: number;
  readonly next: string | null;

  constructor(exitCode: number, message: string, options: { next?: string; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.exitCode = exitCode;
    this.next = options.next ?? null;
  }
}
