/** START STOP UNIT. SBC-3 5.20 */
import type { Command } from './command.ts';

const START = 0x01;
const LOEJ = 0x02;
const NO_FLUSH = 0x04;

/** SBC-3 table 13: starting is allowed in spite of another nexus' reservation. */
export function isPlainStart(cdb: Uint8Array): boolean {
  return (cdb[4] ?? 0) >>> 4 === 0 && ((cdb[4] ?? 0) & START) !== 0;
}

export function startStopUnit(command: Command): void {
  const flags = command.cdb[4] ?? 0;
  // There are no power conditions, and the medium cannot be ejected.
  if (flags >>> 4 !== 0) {
    command.invalidCdbField(4, 7);
    return;
  }
  if ((flags & LOEJ) !== 0) {
    command.invalidCdbField(4, 1);
    return;
  }
  if ((flags & START) !== 0) {
    command.unit.stopped = false;
    command.good();
  } else if ((flags & NO_FLUSH) !== 0) stop(command);
  else command.flush(stop);
}

function stop(command: Command): void {
  command.unit.stopped = true;
  command.good();
}
