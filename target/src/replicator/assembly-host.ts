import type { WriteOperation } from './operations.ts';

/** What the assembly tells the volume. */
export interface AssemblyHost {
  /** I/O may flow (again). */
  opened(): void;
  /** It may not, for now. */
  suspended(reason: string): void;
  /** Who is waited for has changed. */
  requiredChanged(): void;
  /** The volume has another size. */
  grown(): void;
  /** A member has given a sign of life. */
  heard(): void;
  /** The epoch has ended; these operations were not completed in it. */
  epochEnded(left: readonly WriteOperation[]): void;
  /** What the volume holds is another thing now. */
  reverted(): void;
  /** The last in-sync member takes no more writes, but serves reads. */
  full(message: string): void;
  fenced(by: number): void;
}

export interface AssemblyOptions {
  readonly volumeId: string;
  readonly addresses: readonly string[];
  /** How long an activation waits for in-sync members that are absent. */
  readonly graceMs: number;
}
