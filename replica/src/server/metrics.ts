import type { Histogram } from '../runtime/index.ts';
import { MetricRegistry } from '../runtime/index.ts';
import type { Counter } from '../runtime/index.ts';
import type { Store, StoreCounters } from '../store/types.ts';

const COUNTERS: readonly {
  readonly key: keyof StoreCounters;
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
}[] = [
  { key: 'readOps', name: 'read_ops_total', type: 'counter', help: 'Reads.' },
  { key: 'readBytes', name: 'read_bytes_total', type: 'counter', help: 'Bytes read.' },
  { key: 'writeOps', name: 'write_ops_total', type: 'counter', help: 'Writes.' },
  { key: 'writeBytes', name: 'write_bytes_total', type: 'counter', help: 'Bytes written.' },
  { key: 'unmapOps', name: 'unmap_ops_total', type: 'counter', help: 'Unmaps.' },
  { key: 'flushes', name: 'flush_requests_total', type: 'counter', help: 'Flushes asked for.' },
  {
    key: 'fdatasyncs',
    name: 'fdatasync_total',
    type: 'counter',
    help: 'Calls of fdatasync; fewer than flushes where several shared one.',
  },
  {
    key: 'regionMarks',
    name: 'region_marks_total',
    type: 'counter',
    help: 'Durable writes of the activity log.',
  },
  {
    key: 'checksumErrors',
    name: 'checksum_errors_total',
    type: 'counter',
    help: 'Blocks that did not match their checksum when they were read.',
  },
  {
    key: 'allocatedBytes',
    name: 'allocated_bytes',
    type: 'gauge',
    help: 'Bytes of the volume that are allocated in this copy.',
  },
  {
    key: 'markedRegions',
    name: 'marked_regions',
    type: 'gauge',
    help: 'Regions of 4 MiB that would be compared after an unclean stop.',
  },
  {
    key: 'metadataCacheBytes',
    name: 'metadata_cache_bytes',
    type: 'gauge',
    help: 'Memory of the cache of checksums and versions.',
  },
  {
    key: 'damagedSlots',
    name: 'damaged_slots',
    type: 'gauge',
    help: 'Slots of superblock and activity log that were damaged since the start.',
  },
  {
    key: 'damagedPages',
    name: 'damaged_pages_total',
    type: 'counter',
    help: 'Pages of checksums that were found damaged.',
  },
  {
    key: 'scrubbedBytes',
    name: 'scrubbed_bytes_total',
    type: 'counter',
    help: 'Bytes that scrubs have read and verified.',
  },
  {
    key: 'scrubErrors',
    name: 'scrub_errors_total',
    type: 'counter',
    help: 'Blocks and pages of checksums that scrubs have found damaged.',
  },
];

/** All metrics of a replica; the names begin with openebs_replica_. */
export class ReplicaMetrics {
  readonly registry: MetricRegistry;
  readonly flushSeconds: Histogram;
  readonly #protocolErrors = new Map<string, Counter>();
  #failure: string | null = null;

  constructor(store: Store) {
    const { volumeId, replicaId } = store.identity;
    this.registry = new MetricRegistry({ volume: volumeId, replica: replicaId });
    for (const { key, name, type, help } of COUNTERS) {
      this.registry.observed({
        name: `openebs_replica_${name}`,
        help,
        type,
        read: () => store.counters()[key],
      });
    }
    this.registry.observed({
      name: 'openebs_replica_size_bytes',
      help: 'Size of the volume.',
      type: 'gauge',
      read: () => store.identity.sizeBytes,
    });
    this.registry.observed({
      name: 'openebs_replica_promised_epoch',
      help: 'Highest epoch that was promised to a target.',
      type: 'gauge',
      read: () => store.state().promisedEpoch,
    });
    this.registry.observed({
      name: 'openebs_replica_failed',
      help: '1 when the store takes no more writes.',
      type: 'gauge',
      read: () => (this.#failure === null ? 0 : 1),
    });
    this.registry.observed({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the process.',
      type: 'gauge',
      read: () => process.memoryUsage.rss(),
    });
    this.registry.observed({
      name: 'process_cpu_seconds_total',
      help: 'User and system time of the process.',
      type: 'counter',
      read: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1e6;
      },
    });
    this.flushSeconds = this.registry.histogram({
      name: 'openebs_replica_flush_seconds',
      help: 'From the arrival of a flush until all writes before it are on stable storage.',
    });
  }

  /** Code with which the store failed, or null. */
  get failure(): string | null {
    return this.#failure;
  }

  storeFailed(code: string | null): void {
    this.#failure = code;
  }

  protocolError(code: string): void {
    let counter = this.#protocolErrors.get(code);
    if (counter === undefined) {
      counter = this.registry.counter({
        name: 'openebs_replica_protocol_errors_total',
        help: 'Connections that ended because the peer broke the protocol.',
        labels: { code },
      });
      this.#protocolErrors.set(code, counter);
    }
    counter.add(1);
  }
}
