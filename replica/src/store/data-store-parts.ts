import type { Version } from '../protocol/types.ts';
import type { DurableState } from './durable-state.ts';
import type { GroupCommit } from './group-commit.ts';
import type { LayerSet } from './layer-set.ts';
import type { Reader } from './reader.ts';
import type { RedoFile } from './redo-file.ts';
import type { Regions } from './regions.ts';
import type { Scrubber } from './scrub.ts';
import type { Standing } from './standing.ts';
import type { Writer } from './writer.ts';

/** The parts, of a copy with data, put together by assembly.ts. */
export interface DataStoreParts {
  readonly durable: DurableState;
  /** Calls back in a later turn of the event loop. */
  readonly later: (callback: () => void) => void;
  readonly standing: Standing;
  readonly layers: LayerSet;
  readonly regions: Regions;
  readonly writer: Writer;
  readonly redo: RedoFile;
  readonly reader: Reader;
  readonly scrubber: Scrubber;
  readonly commits: GroupCommit;
  /** Calls back every so often until the returned function is called. */
  readonly every: (intervalMs: number, tick: () => void) => () => void;
  readonly warn: (message: string) => void;
  readonly progress: Progress;
  readonly start: { readonly cleanStart: boolean; readonly sameBoot: boolean };
  readonly damagedSlots: () => number;
  /** Reads the slots of superblock and activity log, and writes again what has rotted. */
  readonly scrubSlots: (done: () => void) => void;
  readonly damagedPages: () => number;
  /** Makes the files of the writable layer long enough for this size, durable. */
  readonly grow: (sizeBytes: number) => void;
  /** Stops the maintenance, closes the files and gives the directory free. */
  readonly release: () => Promise<void>;
}

/** How far the operations came; the activity log writes it down with each of its changes. */
export interface Progress {
  applied: Version;
  flushed: Version;
}
