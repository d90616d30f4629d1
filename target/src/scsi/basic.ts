/** TEST UNIT READY and REQUEST SENSE. SPC-4 6.47, 6.39 */
import type { Command } from './command.ts';
import { Asc, buildSense, SenseKey } from './sense.ts';
import { ERROR_TREATMENT } from './errors.ts';

export function testUnitReady(command: Command): void {
  // The volume has been below a majority for longer than the hold time.
  const notReady = ERROR_TREATMENT.NOT_READY.sense;
  if (!command.unit.volume.ready && notReady !== null) command.check(notReady.key, notReady.asc);
  else command.good();
}

export function requestSense(command: Command): void {
  const { cdb, unit, nexus } = command;
  const descriptor = ((cdb[1] ?? 0) & 0x01) !== 0;
  // SPC-4 6.39, 5.14.1: a pending unit attention condition is told as parameter data and cleared.
  const attention = nexus.attentions.shift();
  let sense: Uint8Array;
  if (attention !== undefined) sense = buildSense(descriptor, SenseKey.unitAttention, attention);
  else if (unit.stopped) {
    sense = buildSense(descriptor, SenseKey.notReady, Asc.initializingCommandRequired);
  } else sense = buildSense(descriptor, SenseKey.noSense, Asc.none);
  command.goodWithData(sense, cdb[4] ?? 0);
}
