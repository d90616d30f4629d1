/** What a replica has met in its own directory since it was started. */
export interface ReplicaDamage {
  /** Slots of superblock and activity log. */
  readonly slots: number;
  /** Pages of checksums. */
  readonly pages: number;
}

/** From a replica's GET /v1/status; null where the answer is none. */
export function parseReplicaDamage(body: string): ReplicaDamage | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  const counters = (value as { counters?: Record<string, unknown> } | null)?.counters;
  const { damagedSlots, damagedPages } = counters ?? {};
  if (typeof damagedSlots !== 'number' || typeof damagedPages !== 'number') return null;
  return { slots: damagedSlots, pages: damagedPages };
}

/** In words, where there is more than before; null where there is not. */
export function damageText(before: ReplicaDamage | null, now: ReplicaDamage): string | null {
  const more = (count: keyof ReplicaDamage): number => {
    const was = before?.[count] ?? 0;
    return now[count] >= was ? now[count] - was : now[count];
  };
  const parts: string[] = [];
  if (more('slots') > 0) {
    parts.push(
      `${more('slots')} of the slots of its superblock and activity log were damaged and are written again`,
    );
  }
  if (more('pages') > 0) parts.push(`${more('pages')} of its pages of checksums were damaged`);
  return parts.length === 0 ? null : `${parts.join('; ')}; check its disk`;
}
