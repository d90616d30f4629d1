/**
 * Everything that the API can refuse; the table gives the HTTP status, mayactl's exit code and the
 * title.
 */
const PROBLEMS = {
  'bad-request': { status: 400, exitCode: 2, title: 'The request is not valid' },
  'name-invalid': { status: 400, exitCode: 2, title: 'The name is not valid' },
  'size-invalid': { status: 400, exitCode: 2, title: 'The size is not valid' },
  'chap-invalid': { status: 400, exitCode: 2, title: 'The CHAP settings are not valid' },
  'cursor-invalid': { status: 400, exitCode: 2, title: 'The cursor is not valid' },
  unauthorized: { status: 401, exitCode: 1, title: 'A valid token is needed' },
  forbidden: { status: 403, exitCode: 1, title: 'The token is for reading only' },
  'not-found': { status: 404, exitCode: 3, title: 'There is nothing here' },
  'volume-not-found': { status: 404, exitCode: 3, title: 'There is no such volume' },
  'replica-not-found': { status: 404, exitCode: 3, title: 'There is no such replica' },
  'method-not-allowed': { status: 405, exitCode: 1, title: 'The path does not take this method' },
  'replica-refused': { status: 409, exitCode: 4, title: 'The replicas cannot be changed so' },
  'change-refused': { status: 409, exitCode: 4, title: 'The target does not take the change' },
  'clone-refused': { status: 409, exitCode: 4, title: 'The volume cannot be cloned so' },
  'operation-not-found': { status: 404, exitCode: 3, title: 'There is no such operation' },
  'snapshot-not-found': { status: 404, exitCode: 3, title: 'There is no such snapshot' },
  'snapshot-exists': { status: 409, exitCode: 4, title: 'The snapshot exists already' },
  'too-many-snapshots': { status: 409, exitCode: 4, title: 'The volume has too many snapshots' },
  'volume-exists': { status: 409, exitCode: 4, title: 'The volume exists already' },
  'volume-deleting': { status: 409, exitCode: 4, title: 'The volume is being deleted' },
  'volume-not-ready': { status: 409, exitCode: 4, title: 'The volume does not serve now' },
  'volume-in-use': { status: 409, exitCode: 4, title: 'Initiators use the volume' },
  'record-damaged': { status: 409, exitCode: 4, title: 'The record of the volume is damaged' },
  'idempotency-conflict': { status: 422, exitCode: 4, title: 'The key belongs to another request' },
  'precondition-failed': { status: 412, exitCode: 4, title: 'The volume was changed meanwhile' },
  'too-large': { status: 413, exitCode: 2, title: 'The request is too large' },
  'media-type': { status: 415, exitCode: 2, title: 'The request is not JSON' },
  'too-many-streams': { status: 429, exitCode: 1, title: 'Too many event streams' },
  internal: { status: 500, exitCode: 1, title: 'The server failed' },
  'volume-failed': { status: 500, exitCode: 1, title: 'The volume could not be started' },
  stopping: { status: 503, exitCode: 5, title: 'The server is stopping' },
  'permission-denied': { status: 507, exitCode: 1, title: 'The data directory is not writable' },
  'no-space': { status: 507, exitCode: 1, title: 'No space is left' },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

export function exitCodeOf(code: string): number {
  return code in PROBLEMS ? PROBLEMS[code as ProblemCode].exitCode : 1;
}

/**
 * RFC 9457 3.1, with the extension members `code` (stable, for programs) and `next` (what a person
 * can do).
 */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly next?: string;
  readonly instance?: string;
}

/** An error that is told to a person: what, why (`message`) and what to do (`next`). */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly next: string | null;

  constructor(
    code: ProblemCode,
    message: string,
    options: { next?: string; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.next = options.next ?? null;
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  toDocument(instance?: string): ProblemDocument {
    return {
      type: `urn:openebs:problem:${this.code}`,
      title: PROBLEMS[this.code].title,
      status: this.status,
      detail: this.message,
      code: this.code,
      ...(this.next === null ? {} : { next: this.next }),
      ...(instance === undefined ? {} : { instance }),
    };
  }
}

/** The words for what a file system refuses; null where the error is none of those. */
export function fileProblem(error: unknown, path: string): Problem | null {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new Problem('no-space', `no space is left on the file system of ${path}`, {
        next: `free some (df -h ${path}), or use another data directory (--data-dir)`,
        cause: error,
      });
    case 'EROFS':
      return new Problem('permission-denied', `the file system of ${path} is mounted read-only`, {
        next: 'mount it read-write, or use another data directory (--data-dir)',
        cause: error,
      });
    case 'EACCES':
    case 'EPERM':
      return new Problem('permission-denied', `no permission to write ${path}`, {
        next: `make it yours (chown -R "$(id -un)" ${path}), or use another one (--data-dir)`,
        cause: error,
      });
    default:
      return null;
  }
}
