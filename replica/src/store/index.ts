export { StoreError } from './errors.ts';
export type { StoreErrorCode } from './errors.ts';
export { openStore, openStoreOn } from './open.ts';
export type { StoreEnvironment } from './open.ts';
export type { Disk, DiskFile } from './disk.ts';
export type {
  LayerFill,
  LayerRead,
  LayerUsage,
  ReadDone,
  ScrubDone,
  Store,
  StoreCounters,
  StoreEvents,
  StoreIdentity,
  StoreOperation,
  StoreOptions,
  StoreState,
} from './types.ts';
