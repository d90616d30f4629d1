/**
 * Tests of the suite that it skips against this target by its own choice, each with the reason. Everything else has to
 * run: a [SKIPPED] that is not listed here is a failure, and so is a test listed here that does run.
 */
const NOT_REMOVABLE = 'the suite runs it on removable media only';
const SANITIZE = 'the suite runs it with --allow-sanitize only, as it wipes the whole medium';

export const NOT_RUNNABLE: Readonly<Record<string, string>> = {
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
  'ReadOnly.ReadOnlySBC': 'it needs write protection: it runs below, with the bit SWP set',
};
