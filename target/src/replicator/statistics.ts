import type { Histogram } from '@openebs/replica/runtime';

/** What initiators asked for and got. The histograms may belong to a metric registry. */
export interface OperationStatistics {
  readonly seconds: Histogram;
  operations: number;
  bytes: number;
  errors: number;
}

export interface VolumeStatistics {
  readonly read: OperationStatistics;
  readonly write: OperationStatistics;
  readonly unmap: OperationStatistics;
  readonly flush: OperationStatistics;
  /** Blocks that did not match their checksum on one replica and were read from another. */
  checksumErrors: number;
  repairedBlocks: number;
  /** Blocks in which in-sync replicas differed although each copy passed its checksums. */
  divergentBlocks: number;
  /** In words: what was wrong with a copy last. */
  lastProblem: string | null;
  resyncedBytes: number;
}

export const createStatistics = (
  histogram: (operation: 'read' | 'write' | 'unmap' | 'flush') => Histogram,
): VolumeStatistics => {
  const of = (operation: 'read' | 'write' | 'unmap' | 'flush'): OperationStatistics => ({
    seconds: histogram(operation),
    operations: 0,
    bytes: 0,
    errors: 0,
  });
  return {
    read: of('read'),
    write: of('write'),
    unmap: of('unmap'),
    flush: of('flush'),
    checksumErrors: 0,
    repairedBlocks: 0,
    divergentBlocks: 0,
    lastProblem: null,
    resyncedBytes: 0,
  };
};
