const { getSystemErrorName, getSystemErrorMessage } = process.getBuiltinModule('node:util');

/** An error of the operating system as node:fs throws it. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
}

export function systemError(syscall: string, errno: number): SystemError {
  const code = getSystemErrorName(-errno);
  const message = `${code}: ${getSystemErrorMessage(-errno)}, ${syscall}`;
  return Object.assign(new Error(message), { code, syscall });
}

/** The code of an error of the operating system (ENOSPC, EIO ...); null for anything else. */
export function systemErrorCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
