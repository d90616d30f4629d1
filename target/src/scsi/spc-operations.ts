/** The rows of the operation code table that every kind of device has. SPC-4 6 */
import { requestSense, testUnitReady } from './basic.ts';
import { readU16 } from './cdb.ts';
import { extendedCopy, extendedCopyBytes } from './copy.ts';
import {
  receiveCopyStatus,
  receiveFailedSegmentDetails,
  receiveOperatingParameters,
} from './copy-results.ts';
import { inquiry } from './inquiry.ts';
import { logSense } from './log-sense.ts';
import { modeSelect10, modeSelect6, modeSense10, modeSense6 } from './mode.ts';
import { defineOperation, type Operation, type OperationTraits } from './operation.ts';
import {
  readFullStatus,
  readKeys,
  readReservation,
  reportCapabilities,
} from './persistent-reserve-in.ts';
import {
  clearReservations,
  preemptAndAbort,
  preemptReservation,
  registerAndIgnoreExistingKey,
  registerAndMoveReservation,
  registerKey,
  releaseUnit,
  reserveOutBytes,
  reserveUnit,
} from './persistent-reserve-out.ts';
import { reportLuns } from './report-luns.ts';
import { release6, reserve6 } from './reserve-release.ts';
import { reportTaskManagement } from './supported-operations.ts';
import { reportTargetPortGroups } from './target-port-groups.ts';

const IDENTIFIES: OperationTraits = { allowedUnderReserve6: true, sparesAttention: true };
const READS_PARAMETERS: OperationTraits = { reservation: 'read' };

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0');
}

/** What another target may have changed is told as reads are: under the lease of the volume. */
function reserveIn(serviceAction: number, name: string, run: Operation['run']): Operation {
  const usage = `5e ${hexByte(serviceAction)} 00 00 00 00 00 ff ff 00`;
  return defineOperation(`PERSISTENT RESERVE IN, ${name}`, usage, serviceAction, (command) =>
    command.confirm(run),
  );
}

/** Which nexus may do what is part of the service actions themselves. SPC-4 table 66 */
function reserveOut(serviceAction: number, name: string, run: Operation['run']): Operation {
  const usage = `5f ${hexByte(serviceAction)} ff 00 00 ff ff ff ff 00`;
  return defineOperation(`PERSISTENT RESERVE OUT, ${name}`, usage, serviceAction, run, {
    dataOutBytes: reserveOutBytes,
  });
}

function copyResults(serviceAction: number, name: string, run: Operation['run']): Operation {
  const usage = `84 ${hexByte(serviceAction)} ff 00 00 00 00 00 00 00 ff ff ff ff 00 00`;
  return defineOperation(`RECEIVE COPY RESULTS, ${name}`, usage, serviceAction, run);
}

export const SPC_OPERATIONS: readonly Operation[] = [
  defineOperation('TEST UNIT READY', '00 00 00 00 00 00', null, testUnitReady, {
    accessesMedium: true,
  }),
  defineOperation('REQUEST SENSE', '03 01 00 00 ff 00', null, requestSense, IDENTIFIES),
  defineOperation('INQUIRY', '12 01 ff ff ff 00', null, inquiry, IDENTIFIES),
  defineOperation('MODE SELECT (6)', '15 10 00 00 ff 00', null, modeSelect6, {
    reservation: 'write',
    dataOutBytes: (cdb) => cdb[4] ?? 0,
  }),
  defineOperation('RESERVE (6)', '16 00 00 00 00 00', null, reserve6),
  defineOperation('RELEASE (6)', '17 00 00 00 00 00', null, release6, {
    allowedUnderReserve6: true,
  }),
  defineOperation('MODE SENSE (6)', '1a 08 ff ff ff 00', null, modeSense6, READS_PARAMETERS),
  defineOperation('LOG SENSE', '4d 00 ff ff 00 ff ff ff ff 00', null, logSense, {
    allowedUnderReserve6: true,
  }),
  defineOperation('MODE SELECT (10)', '55 10 00 00 00 00 00 ff ff 00', null, modeSelect10, {
    reservation: 'write',
    dataOutBytes: (cdb) => readU16(cdb, 7),
  }),
  defineOperation(
    'MODE SENSE (10)',
    '5a 18 ff ff 00 00 00 ff ff 00',
    null,
    modeSense10,
    READS_PARAMETERS,
  ),
  reserveIn(0x00, 'READ KEYS', readKeys),
  reserveIn(0x01, 'READ RESERVATION', readReservation),
  reserveIn(0x02, 'REPORT CAPABILITIES', reportCapabilities),
  reserveIn(0x03, 'READ FULL STATUS', readFullStatus),
  reserveOut(0x00, 'REGISTER', registerKey),
  reserveOut(0x01, 'RESERVE', reserveUnit),
  reserveOut(0x02, 'RELEASE', releaseUnit),
  reserveOut(0x03, 'CLEAR', clearReservations),
  reserveOut(0x04, 'PREEMPT', preemptReservation),
  reserveOut(0x05, 'PREEMPT AND ABORT', preemptAndAbort),
  reserveOut(0x06, 'REGISTER AND IGNORE EXISTING KEY', registerAndIgnoreExistingKey),
  reserveOut(0x07, 'REGISTER AND MOVE', registerAndMoveReservation),
  defineOperation(
    'EXTENDED COPY (LID1)',
    '83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00',
    0x00,
    extendedCopy,
    { reservation: 'write', accessesMedium: true, dataOutBytes: extendedCopyBytes },
  ),
  copyResults(0x00, 'COPY STATUS (LID1)', receiveCopyStatus),
  copyResults(0x03, 'OPERATING PARAMETERS', receiveOperatingParameters),
  copyResults(0x04, 'FAILED SEGMENT DETAILS (LID1)', receiveFailedSegmentDetails),
  defineOperation(
    'REPORT LUNS',
    'a0 00 ff 00 00 00 ff ff ff ff 00 00',
    null,
    reportLuns,
    IDENTIFIES,
  ),
  defineOperation(
    'REPORT TARGET PORT GROUPS',
    'a3 ea 00 00 00 00 ff ff ff ff 00 00',
    0x0a,
    reportTargetPortGroups,
    { allowedUnderReserve6: true },
  ),
  defineOperation(
    'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    'a3 0d 80 00 00 00 ff ff ff ff 00 00',
    0x0d,
    reportTaskManagement,
    READS_PARAMETERS,
  ),
];
