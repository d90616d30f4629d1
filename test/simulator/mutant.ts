import type { Profile } from './plan.ts';

/** One place of one file, changed. */
export interface Edit {
  readonly file: string;
  /** Occurs exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A bug that is planted. What is checked in two places is taken out in both. */
export interface Mutant {
  readonly name: string;
  /** The invariant that it breaks. */
  readonly invariant: string;
  /** Whose runs come to the point. */
  readonly profile: Profile;
  readonly edits: readonly Edit[];
}

export const edit = (file: string, find: string, replace: string): Edit => ({
  file,
  find,
  replace,
});

export const mutant = (
  name: string,
  invariant: string,
  profile: Profile,
  ...edits: readonly Edit[]
): Mutant => ({ name, invariant, profile, edits });

/** Paths of sources, by their names. */
export const inReplicator = (file: string): string => `target/src/replicator/${file}.ts`;
export const inServer = (file: string): string => `replica/src/server/${file}.ts`;
export const inStore = (file: string): string => `replica/src/store/${file}.ts`;
