/** Commands for a LUN that has no logical unit. SPC-4 6.6.2, 6.33, 6.39; SAM-5 5.11 */
import type { Command } from './command.ts';
import type { Operation } from './operation.ts';
import { runInquiryOnAbsentUnit } from './inquiry.ts';
import { reportLuns } from './report-luns.ts';
import { Asc, buildSense, SenseKey } from './sense.ts';

export function runOnAbsentUnit(command: Command, operation: Operation | null): void {
  switch (operation?.opcode) {
    case 0x12:
      runInquiryOnAbsentUnit(command);
      return;
    case 0xa0:
      reportLuns(command);
      return;
    case 0x03: {
      // SPC-4 6.39: the sense data says that there is no unit; the command itself is GOOD.
      const descriptor = ((command.cdb[1] ?? 0) & 0x01) !== 0;
      const sense = buildSense(descriptor, SenseKey.illegalRequest, Asc.logicalUnitNotSupported);
      command.goodWithData(sense, command.cdb[4] ?? 0);
      return;
    }
    default:
      command.check(SenseKey.illegalRequest, Asc.logicalUnitNotSupported);
  }
}
