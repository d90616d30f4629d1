/** The replicas of a volume, and a witness where their number is even. */
export interface Voter {
  /** From 1. */
  readonly index: number;
  readonly role: 'data' | 'witness';
}

export const votersOf = (replicas: number): readonly Voter[] => {
  const voters: Voter[] = Array.from({ length: replicas }, (_, at) => ({
    index: at + 1,
    role: 'data' as const,
  }));
  // Two copies survive the loss of one only if somebody else votes.
  if (replicas % 2 === 0) voters.push({ index: replicas + 1, role: 'witness' });
  return voters;
};
