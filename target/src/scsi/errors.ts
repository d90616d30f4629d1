/**
 * What the volume's errors become for an initiator, for the log and for the reader of the
 * documentation.
 */
import type { VolumeErrorCode } from '../volume.ts';
import { Asc, SenseKey } from './sense.ts';

export interface ErrorTreatment {
  /** Null: no status is sent; the task ends silently. */
  readonly sense: {
    readonly key: SenseKey;
    readonly asc: number;
    /** Whether INFORMATION carries the LBA at which it happened. */
    readonly withLba: boolean;
  } | null;
  readonly logLevel: 'error' | 'warn' | 'debug';
  /** One line of the documentation: what it means and what to do. */
  readonly explanation: string;
}

export const ERROR_TREATMENT: Readonly<Record<VolumeErrorCode, ErrorTreatment>> = {
  MEDIUM_ERROR: {
    sense: { key: SenseKey.mediumError, asc: Asc.unrecoveredReadError, withLba: true },
    logLevel: 'error',
    explanation: 'No in-sync replica has a good copy of the block. Restore it; a write repairs it.',
  },
  WRITE_MEDIUM_ERROR: {
    sense: { key: SenseKey.mediumError, asc: Asc.writeError, withLba: true },
    logLevel: 'error',
    explanation:
      'No in-sync replica could write the block. Look at the disks and logs of the replicas.',
  },
  NO_SPACE: {
    sense: { key: SenseKey.dataProtect, asc: Asc.spaceAllocationFailed, withLba: false },
    logLevel: 'error',
    explanation: 'The last in-sync replicas are out of space. Free some there; reads go on.',
  },
  NOT_READY: {
    sense: { key: SenseKey.notReady, asc: Asc.notReadyCauseNotReportable, withLba: false },
    logLevel: 'warn',
    explanation: 'No majority of the replicas for longer than the hold time. Bring replicas back.',
  },
  FENCED: {
    sense: null,
    logLevel: 'error',
    explanation: 'Another target owns the volume now. This one drops its initiators and ends.',
  },
  ABORTED: {
    sense: null,
    logLevel: 'debug',
    explanation: 'Ended by a task management function; SAM-5 sends no status for it.',
  },
};
