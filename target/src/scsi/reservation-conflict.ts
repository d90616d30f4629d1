/** Whether a reservation of another nexus forbids a command. */
import type { LogicalUnit } from './logical-unit.ts';
import type { NexusState } from './nexus.ts';
import type { Operation } from './operation.ts';

export function conflicts(unit: LogicalUnit, nexus: NexusState, operation: Operation): boolean {
  const holder = unit.reserve6Holder;
  return holder !== null && holder !== nexus && !operation.allowedUnderReserve6;
}
