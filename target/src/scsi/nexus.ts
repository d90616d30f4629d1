/** What the logical unit keeps for one I_T nexus. */
import type { CopyResult } from './copy-results.ts';
import type { Nexus } from './task.ts';
import { Asc } from './sense.ts';

/** More than the kinds of condition that can be pending at once for one nexus. */
const MAX_ATTENTIONS = 8;

export class NexusState {
  readonly nexus: Nexus;
  /**
   * Identifies the I_T nexus across sessions: the initiator port's name and the target port. SPC-4
   * 7.6.4.6
   */
  readonly portKey: string;
  /** Pending unit attention conditions, oldest first. SAM-5 5.14 */
  readonly attentions: number[] = [];
  /** By list identifier: copies whose result the initiator may ask for. */
  readonly copyResults = new Map<number, CopyResult>();

  constructor(nexus: Nexus) {
    this.nexus = nexus;
    this.portKey = portKey(nexus.initiatorName, nexus.isid, nexus.portalGroupTag);
  }

  addAttention(asc: number): void {
    // SPC-4 5.14.1: a reset clears what was pending before; its conditions are told by the reset's
    // own.
    if (asc >>> 8 === Asc.powerOnResetOrBusDeviceReset >>> 8) this.attentions.length = 0;
    if (this.attentions.includes(asc)) return;
    if (this.attentions.length < MAX_ATTENTIONS) this.attentions.push(asc);
  }
}

export function portKey(initiatorName: string, isid: string, portalGroupTag: number): string {
  return `${initiatorName},i,0x${isid},t,0x${portalGroupTag.toString(16).padStart(4, '0')}`;
}
