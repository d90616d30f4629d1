/** What the replicas keep of the scrubs, as JSON. Times are milliseconds since 1970. */
export interface ScrubDocument {
  /** The extent from which it goes on; null when none is under way. */
  position: number | null;
  startedAt: number | null;
  /** What it has found so far, or the last one. */
  badBlocks: number;
  divergentBlocks: number;
  lastCompletedAt: number | null;
  nextAt: number;
}

export const emptyDocument = (nextAt: number): ScrubDocument => ({
  position: null,
  startedAt: null,
  badBlocks: 0,
  divergentBlocks: 0,
  lastCompletedAt: null,
  nextAt,
});

/** Null where there is none, or not one of ours. */
export const readScrubDocument = (content: Uint8Array | null): ScrubDocument | null => {
  if (content === null) return null;
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(content).toString());
  } catch {
    return null;
  }
  if (typeof json !== 'object' || json === null) return null;
  const fields = json as Readonly<Record<string, unknown>>;
  const nextAt = countOf(fields['nextAt']);
  if (nextAt === null) return null;
  return {
    position: countOf(fields['position']),
    startedAt: countOf(fields['startedAt']),
    badBlocks: countOf(fields['badBlocks']) ?? 0,
    divergentBlocks: countOf(fields['divergentBlocks']) ?? 0,
    lastCompletedAt: countOf(fields['lastCompletedAt']),
    nextAt,
  };
};

const countOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
