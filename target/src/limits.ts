/**
 * Every cap of the target, in one place. Lengths that a peer names are compared with these before
 * anything is allocated.
 */
export const LIMITS = {
  /** The longest data segment that may be declared as MaxRecvDataSegmentLength. Bytes. */
  dataSegmentBytes: 1024 * 1024,
  /** RFC 7143 13.12: what an initiator may send during login before it knows more. Bytes. */
  loginDataSegmentBytes: 8192,
  /** All key=value text of one login or one text exchange, over several PDUs. Bytes. */
  loginTextBytes: 16 * 1024,
  /** RFC 7143 6.1: a key name is at most 63 bytes. */
  keyNameBytes: 63,
  /** RFC 7143 6.1: a value is at most 255 bytes, large binary values 8192. */
  keyValueBytes: 8192,
  /** From the TCP connection to full feature phase. */
  loginTimeoutMs: 15_000,
  /** Connections that have not logged in yet, over all and from one address. */
  connectionsBeforeLogin: 64,
  connectionsBeforeLoginPerAddress: 8,
  /** Logged-in sessions of all initiators; each may hold a window of unsolicited data. */
  sessions: 64,
  /**
   * Commands of one session between their arrival and their response; the width of the CmdSN
   * window.
   */
  commandsInFlight: 128,
  /**
   * Immediate commands do not count in the CmdSN window, so they have a limit of their own. RFC
   * 7143 4.2.2.1
   */
  immediateCommandsInFlight: 16,
  /**
   * Data-Out that R2Ts have asked for and data that reads will return, per session; more commands
   * wait. Bytes.
   */
  transferBytesInFlight: 32 * 1024 * 1024,
  /**
   * Payload that all sessions together have under way on the volume; beyond it no socket is read
   * further. Bytes.
   */
  bytesInFlight: 128 * 1024 * 1024,
  /** No command collects more Data-Out than this. Bytes. */
  dataOutBytes: 16 * 1024 * 1024,
  /** Buffers for the payload of reads and writes that are kept to be used again. Bytes. */
  pooledBytes: 32 * 1024 * 1024,
  /** Responses that the initiator has not taken; beyond it the socket is read no further. Bytes. */
  unsentBytes: 16 * 1024 * 1024,
  /** Offered in login; what the initiator offers lower wins. Bytes. RFC 7143 13.13, 13.14 */
  maxBurstLengthBytes: 4 * 1024 * 1024,
  firstBurstLengthBytes: 256 * 1024,
  outstandingR2Ts: 8,
  /**
   * An initiator that sends nothing is asked for a sign of life, and dropped when it gives none.
   */
  keepaliveIdleMs: 30_000,
  keepaliveTimeoutMs: 60_000,
} as const;

/**
 * What the logical unit accepts; VPD page B0h and RECEIVE COPY RESULTS tell them to initiators.
 * Blocks are of 512 bytes.
 */
export const SCSI_LIMITS = {
  /**
   * READ, WRITE, VERIFY and their kin. 8 MiB, the largest single write of the replication protocol.
   */
  transferBlocks: 16 * 1024,
  optimalTransferBlocks: 2048,
  compareAndWriteBlocks: 255,
  /** All descriptors of one UNMAP together: 512 MiB. */
  unmapBlocks: 1024 * 1024,
  unmapDescriptors: 256,
  /** Just below 32 MiB, in whole blocks of the replicas; the pattern is written in pieces. */
  writeSameBlocks: 64 * 1024 - 8,
  /**
   * UNMAP, WRITE SAME and EXTENDED COPY go through the volume in pieces, so that nothing else waits
   * long for its range.
   */
  unmapPieceBytes: 256 * 1024 * 1024,
  copyPieceBytes: 1024 * 1024,
  copyTargetDescriptors: 8,
  copySegmentDescriptors: 32,
  copyDescriptorBytes: 8 * 32 + 32 * 28,
  /** What the 16 bits of a segment's length can say. */
  copySegmentBytes: 0xffff * 512,
  concurrentCopies: 128,
  /**
   * Persistent reservation keys: bounded so that all of them fit into a document of the replicas.
   */
  registrations: 64,
} as const;

/** What orders over the control API may ask for. */
export const CONTROL_LIMITS = {
  /** Reads remember bad copies in the bits of a 32-bit number. */
  replicas: 16,
  /** Addresses that discovery tells. */
  portals: 16,
} as const;

/** What the replicator allows itself towards its replicas. */
export const REPLICATOR_LIMITS = {
  /** The largest write of one frame, as in the replica's own limits. Bytes. */
  writeBytes: 8 * 1024 * 1024,
  /** Unmaps are cut by the SCSI layer; a frame's length is a u32. Bytes. */
  unmapBytes: 1024 * 1024 * 1024,
  /** Of one allocation request to a replica. Bytes. */
  allocationBytes: 1024 * 1024 * 1024,
  /**
   * A member that is being resynchronised may fall behind by this much before initiators wait for
   * it. Bytes.
   */
  followerBufferBytes: 32 * 1024 * 1024,
  /** Versions asked for at a time: their range must fit a u32. */
  versionExtents: 4032,
  /** How many such questions wait for their answers at a time. */
  versionRequests: 16,
  /** Extents that are compared and copied at a time while initiators rest. */
  rebuildWidth: 8,
  /** A member that is filled makes durable what it has each time that so much came. Bytes. */
  rebuildFlushBytes: 256 * 1024 * 1024,
  /** Differing blocks are copied in pieces of at most this. Bytes. */
  copyBytes: 1024 * 1024,
  /** A layer is compared in ranges of this size. Bytes. */
  layerRangeBytes: 256 * 1024 * 1024,
  /** Snapshots of one volume. */
  snapshots: 250,
  /** Initiators wait no longer for a snapshot: it is undone instead. */
  snapshotMs: 1_000,
  /** How long a change of the layers waits for replicas that are just coming or going. */
  settleMs: 10_000,
  /** How long voters may take to confirm that no other target has taken over. */
  confirmMs: 5_000,
  /** Extents that are reconciled at a time before the first login. */
  reconcileWidth: 4,
  /** The contents of one document. Bytes. */
  documentBytes: 48 * 1024,
  /**
   * How long reads may be answered after a majority of the voters was heard. The replicas count
   * 2,000 ms, so clocks may differ by 10 %.
   */
  readLeaseMs: 1_800,
  /** How long a replica without its memory may have granted: as long as it counts. */
  grantedLeaseMs: 2_000,
  /** Attempts of a new target to win an epoch against another one that starts at the same time. */
  promiseAttempts: 5,
} as const;
