/** What of the suite is not simply "runs and passes", each with the reason. */

const NOT_REMOVABLE = 'the suite runs it on removable media only';
const SANITIZE = 'the suite asks for --allow-sanitize, and the target does not offer SANITIZE';

const NO_BLOCKS =
  'the unit says (WSNZ) that it refuses WRITE SAME of no blocks, so that part is not run';

/**
 * Tests that the suite skips, wholly or in part, by its own choice. Everything else has to run: a
 * [SKIPPED] that is not listed here is a failure, and so is a test listed here that skips nothing.
 */
export const SKIPPED_BY_SUITE: Readonly<Record<string, string>> = {
  'PreventAllow.Simple': NOT_REMOVABLE,
  'PreventAllow.Eject': NOT_REMOVABLE,
  'PreventAllow.ITNexusLoss': NOT_REMOVABLE,
  'PreventAllow.Logout': NOT_REMOVABLE,
  'PreventAllow.WarmReset': NOT_REMOVABLE,
  'PreventAllow.ColdReset': NOT_REMOVABLE,
  'PreventAllow.LUNReset': NOT_REMOVABLE,
  'PreventAllow.2ITNexuses': NOT_REMOVABLE,
  'StartStopUnit.Simple': NOT_REMOVABLE,
  'Sanitize.BlockErase': SANITIZE,
  'Sanitize.BlockEraseReserved': SANITIZE,
  'Sanitize.CryptoErase': SANITIZE,
  'Sanitize.CryptoEraseReserved': SANITIZE,
  'Sanitize.ExitFailureMode': SANITIZE,
  'Sanitize.InvalidServiceAction': SANITIZE,
  'Sanitize.Overwrite': SANITIZE,
  'Sanitize.OverwriteReserved': SANITIZE,
  'Sanitize.Readonly': SANITIZE,
  'Sanitize.Reservations': SANITIZE,
  'Sanitize.Reset': SANITIZE,
  'WriteSame10.ZeroBlocks': NO_BLOCKS,
  'WriteSame16.ZeroBlocks': NO_BLOCKS,
  'ReadOnly.ReadOnlySBC': 'it needs write protection: it runs below, with the bit SWP set',
};

/**
 * Tests that are wrong themselves for a unit with 8 logical blocks in a physical one: the only
 * assertion that fails, and why it has to. The rest of the test has to pass.
 */
export const WRONG_IN_SUITE: Readonly<
  Record<string, { readonly assertion: string; readonly reason: string }>
> = {
  'GetLBAStatus.UnmapSingle': {
    assertion: 'lba offset in first descriptor does not',
    reason:
      'it asks for block 9 and expects an answer for block 16; SBC-3 5.4 begins with the block asked for, as QEMU checks',
  },
};
