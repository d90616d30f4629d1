/**
 * The mode parameters that an initiator can change; shared by all nexuses, back to default at a
 * reset. SPC-4 5.11
 */
export interface ModeParameters {
  /** Control page, D_SENSE: sense data in descriptor format. SPC-4 7.5.10 */
  descriptorSense: boolean;
  /** Control page, SWP: software write protect. SPC-4 7.5.10 */
  softwareWriteProtect: boolean;
  /** Caching page, WCE: a write is answered before it is on stable storage. SBC-3 6.5.5 */
  writeCacheEnabled: boolean;
}

export function defaultModeParameters(): ModeParameters {
  return { descriptorSense: false, softwareWriteProtect: false, writeCacheEnabled: true };
}
