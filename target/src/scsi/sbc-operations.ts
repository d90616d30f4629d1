/** The rows of the operation code table that block devices have. SBC-3 5 */
import { readCapacity10, readCapacity16 } from './capacity.ts';
import { compareAndWrite, compareAndWriteBytes, orWrite } from './compare-and-write.ts';
import { readDefectData10, readDefectData12 } from './defects.ts';
import { getLbaStatus } from './lba-status.ts';
import { transferBytesOf } from './media-range.ts';
import { defineOperation, type Operation, type OperationTraits } from './operation.ts';
import { prefetch } from './prefetch.ts';
import { read, write } from './read-write.ts';
import { isPlainStart, startStopUnit } from './start-stop.ts';
import { synchronizeCache } from './synchronize-cache.ts';
import { unmap, unmapBytes } from './unmap.ts';
import { verify, verifyBytes, writeAndVerify } from './verify.ts';
import { offersAtomicWrites, writeAtomic, writeAtomicBytes } from './write-atomic.ts';
import { writeSame, writeSameBytes } from './write-same.ts';

const CAPACITY: OperationTraits = { allowedUnderReserve6: true, accessesMedium: true };
const READS: OperationTraits = { reservation: 'read', accessesMedium: true };
const VERIFIES: OperationTraits = { ...READS, dataOutBytes: verifyBytes };
const FLUSHES: OperationTraits = { reservation: 'write', accessesMedium: true };
const WRITES: OperationTraits = {
  reservation: 'write',
  accessesMedium: true,
  writes: true,
  dataOutBytes: transferBytesOf,
};
const WRITES_SAME: OperationTraits = { ...WRITES, dataOutBytes: writeSameBytes };

/**
 * CDB usage of the common forms: operation code, second byte, LBA, length, group number, control.
 * The second byte says which of the protection, DPO, FUA and other bits there are; FUA_NV of SBC-2
 * asks for less than FUA and is ignored.
 */
function usage6(opcode: string): string {
  return `${opcode} 1f ff ff ff 00`;
}

function usage10(opcode: string, second: string): string {
  return `${opcode} ${second} ff ff ff ff 1f ff ff 00`;
}

function usage12(opcode: string, second: string): string {
  return `${opcode} ${second} ff ff ff ff ff ff ff ff 1f 00`;
}

function usage16(opcode: string, second: string): string {
  return `${opcode} ${second} ff ff ff ff ff ff ff ff ff ff ff ff 1f 00`;
}

/** DPO, FUA, FUA_NV; DPO, BYTCHK; IMMED, SYNC_NV. */
const CACHE_BITS = '1a';
const VERIFY_BITS = '16';
const FLUSH_BITS = '06';

export const SBC_OPERATIONS: readonly Operation[] = [
  defineOperation('READ (6)', usage6('08'), null, read, READS),
  defineOperation('WRITE (6)', usage6('0a'), null, write, WRITES),
  defineOperation('START STOP UNIT', '1b 01 00 0f f7 00', null, startStopUnit, {
    reservation: 'write',
    admitted: isPlainStart,
  }),
  defineOperation(
    'READ CAPACITY (10)',
    '25 00 ff ff ff ff 00 00 00 00',
    null,
    readCapacity10,
    CAPACITY,
  ),
  defineOperation('READ (10)', usage10('28', CACHE_BITS), null, read, READS),
  defineOperation('WRITE (10)', usage10('2a', CACHE_BITS), null, write, WRITES),
  defineOperation(
    'WRITE AND VERIFY (10)',
    usage10('2e', VERIFY_BITS),
    null,
    writeAndVerify,
    WRITES,
  ),
  defineOperation('VERIFY (10)', usage10('2f', VERIFY_BITS), null, verify, VERIFIES),
  defineOperation('PRE-FETCH (10)', usage10('34', '02'), null, prefetch, READS),
  defineOperation(
    'SYNCHRONIZE CACHE (10)',
    usage10('35', FLUSH_BITS),
    null,
    synchronizeCache,
    FLUSHES,
  ),
  defineOperation(
    'READ DEFECT DATA (10)',
    '37 00 1f 00 00 00 00 ff ff 00',
    null,
    readDefectData10,
    READS,
  ),
  defineOperation('WRITE SAME (10)', usage10('41', '08'), null, writeSame, WRITES_SAME),
  defineOperation('UNMAP', '42 00 00 00 00 00 1f ff ff 00', null, unmap, {
    ...WRITES,
    dataOutBytes: unmapBytes,
  }),
  defineOperation('READ (16)', usage16('88', CACHE_BITS), null, read, READS),
  defineOperation(
    'COMPARE AND WRITE',
    '89 1a ff ff ff ff ff ff ff ff 00 00 00 ff 1f 00',
    null,
    compareAndWrite,
    { ...WRITES, dataOutBytes: compareAndWriteBytes },
  ),
  defineOperation('WRITE (16)', usage16('8a', CACHE_BITS), null, write, WRITES),
  defineOperation('ORWRITE (16)', usage16('8b', CACHE_BITS), null, orWrite, WRITES),
  defineOperation(
    'WRITE AND VERIFY (16)',
    usage16('8e', VERIFY_BITS),
    null,
    writeAndVerify,
    WRITES,
  ),
  defineOperation('VERIFY (16)', usage16('8f', VERIFY_BITS), null, verify, VERIFIES),
  defineOperation('PRE-FETCH (16)', usage16('90', '02'), null, prefetch, READS),
  defineOperation(
    'SYNCHRONIZE CACHE (16)',
    usage16('91', FLUSH_BITS),
    null,
    synchronizeCache,
    FLUSHES,
  ),
  defineOperation('WRITE SAME (16)', usage16('93', '09'), null, writeSame, WRITES_SAME),
  defineOperation(
    'WRITE ATOMIC (16)',
    '9c 18 ff ff ff ff ff ff ff ff 00 00 ff ff 1f 00',
    null,
    writeAtomic,
    { ...WRITES, dataOutBytes: writeAtomicBytes, offered: offersAtomicWrites },
  ),
  defineOperation(
    'READ CAPACITY (16)',
    '9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 00 00',
    0x10,
    readCapacity16,
    CAPACITY,
  ),
  defineOperation(
    'GET LBA STATUS',
    '9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00',
    0x12,
    getLbaStatus,
    READS,
  ),
  defineOperation('READ (12)', usage12('a8', CACHE_BITS), null, read, READS),
  defineOperation('WRITE (12)', usage12('aa', CACHE_BITS), null, write, WRITES),
  defineOperation(
    'WRITE AND VERIFY (12)',
    usage12('ae', VERIFY_BITS),
    null,
    writeAndVerify,
    WRITES,
  ),
  defineOperation('VERIFY (12)', usage12('af', VERIFY_BITS), null, verify, VERIFIES),
  defineOperation(
    'READ DEFECT DATA (12)',
    'b7 1f ff ff ff ff ff ff ff ff 00 00',
    null,
    readDefectData12,
    READS,
  ),
];
