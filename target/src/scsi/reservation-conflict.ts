/** Whether a reservation of another nexus forbids a command. SPC-4 5.12.1, SPC-2 table 10 */
import type { LogicalUnit } from './logical-unit.ts';
import type { NexusState } from './nexus.ts';
import type { Operation } from './operation.ts';
import { allows } from './reservations.ts';

export function conflicts(
  unit: LogicalUnit,
  nexus: NexusState,
  operation: Operation,
  cdb: Uint8Array,
): boolean {
  const holder = unit.reserve6Holder;
  const { state } = unit.reservations;
  if (holder === null && state.reservation === null) return false;
  if (operation.admitted?.(cdb) === true) return false;
  if (holder !== null && holder !== nexus && !operation.allowedUnderReserve6) return true;
  if (operation.reservation === 'always') return false;
  return !allows(state, nexus.portKey, operation.reservation);
}
