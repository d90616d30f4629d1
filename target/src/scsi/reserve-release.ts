/** RESERVE (6) and RELEASE (6), which older initiators use. SPC-2 7.21, 7.16, 5.5.1 */
import type { Command } from './command.ts';
import { ScsiStatus } from './task.ts';

/** A unit with registrations is managed by persistent reservations only. SPC-2 5.5.1 */
function refusedForRegistrations(command: Command): boolean {
  if (command.unit.reservations.state.registrations.length === 0) return false;
  command.status(ScsiStatus.reservationConflict);
  return true;
}

export function reserve6(command: Command): void {
  if (refusedForRegistrations(command)) return;
  command.unit.reserve6Holder = command.nexus;
  command.good();
}

/** From a nexus that does not hold the unit it does nothing and is GOOD. */
export function release6(command: Command): void {
  if (refusedForRegistrations(command)) return;
  if (command.unit.reserve6Holder === command.nexus) command.unit.reserve6Holder = null;
  command.good();
}
