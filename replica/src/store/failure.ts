import { StoreError } from './errors.ts';
import type { StoreErrorCode } from './errors.ts';
import { systemErrorCode } from './system-error.ts';

/** What an operating system's error means for a store. */
export function failureOf(what: string, cause: unknown, offsetBytes?: number): StoreError {
  if (cause instanceof StoreError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const { code, advice } = meaning(systemErrorCode(cause));
  const options = offsetBytes === undefined ? { cause } : { cause, offsetBytes };
  return new StoreError(code, `Failure in ${what}: ${reason}. ${advice}`, options);
}

function meaning(code: string | null): { code: StoreErrorCode; advice: string } {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return {
        code: 'NO_SPACE',
        advice: 'Make room on the file system, or raise the quota; reads go on meanwhile.',
      };
    case 'EFBIG':
      return {
        code: 'TOO_LARGE',
        advice:
          'The file system or a limit of the process (ulimit -f) does not allow files of this ' +
          'size; XFS takes every volume size, ext4 files below 16 TiB.',
      };
    case 'EACCES':
    case 'EPERM':
      return {
        code: 'PERMISSION_DENIED',
        advice:
          'Give the directory to the user under which the replica runs (chown -R), or run it as ' +
          'its owner.',
      };
    case 'ENOENT':
      return {
        code: 'NOT_A_STORE',
        advice:
          'Check the path and that its disk is mounted; a copy that is lost is rebuilt in an ' +
          'empty directory.',
      };
    case 'ENOTDIR':
      return {
        code: 'NOT_A_STORE',
        advice: 'A part of the path is a file; choose a directory.',
      };
    case 'EXDEV':
      return {
        code: 'NOT_A_STORE',
        advice: 'A clone shares files with its origin: choose a directory on the same file system.',
      };
    case 'EROFS':
      return {
        code: 'READ_ONLY_FILE_SYSTEM',
        advice: 'Mount the file system for writing, or choose another directory.',
      };
    default:
      return {
        code: 'IO_ERROR',
        advice:
          'Look into the log of the kernel (dmesg) for the device; this copy can be rebuilt ' +
          'from another replica.',
      };
  }
}
