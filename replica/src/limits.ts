/**
 * Every cap of the replica, in one place. A length from a peer is compared with its cap before
 * anything is allocated.
 */

/** Largest payload of any frame. Bytes. */
export const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
/** Largest single write or read. Bytes. */
export const MAX_IO_BYTES = 8 * 1024 * 1024;
/** Largest checksum table of a frame. Bytes. */
export const MAX_TABLE_BYTES = 64 * 1024;
/** Largest JSON payload of a frame. Bytes. */
export const MAX_JSON_BYTES = 128 * 1024;

/** Named documents of a store together, with their names and 16 bytes for each. Bytes. */
export const MAX_DOCUMENTS_BYTES = 64 * 1024;
/** A membership record as JSON. Bytes. */
export const MAX_RECORD_BYTES = 16 * 1024;
/** Regions that the activity log may name at a time. */
export const MAX_MARKED_REGIONS = 2048;
/**
 * Epochs of which a store remembers which provisional versions were confirmed; older ones are
 * compared again.
 */
export const MAX_CONFIRMED_EPOCHS = 64;
/**
 * Memory for extent pages: per TiB of volume, and never less than the floor nor more than the
 * ceiling. Bytes.
 */
export const METADATA_BYTES_PER_TIB = 32 * 1024 * 1024;
export const METADATA_BYTES_FLOOR = 8 * 1024 * 1024;
export const METADATA_BYTES_CEILING = 256 * 1024 * 1024;

/**
 * Connections of the data port, at most. When a new one comes the oldest that does not serve goes.
 */
export const MAX_CONNECTIONS = 16;
/** From the connection to `hello`. */
export const HANDSHAKE_TIMEOUT_MS = 15_000;
/**
 * After `hello` without a promise: a target that only looks around asks for the status or pings
 * meanwhile.
 */
export const GREETED_TIMEOUT_MS = 120_000;
/** Of TCP: how long a silent peer is trusted before it is probed. */
export const KEEP_ALIVE_DELAY_MS = 10_000;
/**
 * Responses of one turn are collected in buffers of this size, small enough for the processor's
 * cache. Bytes.
 */
export const SLAB_BYTES = 256 * 1024;
/** Empty slabs that a connection keeps: enough for 32 reads of 64 KiB under way. */
export const MAX_FREE_SLABS = 16;
/** Buffers of large responses that a connection keeps for the next ones, together. Bytes. */
export const MAX_FREE_LARGE_BYTES = 12 * 1024 * 1024;
/** A connection whose peer does not take its responses is not read from above this. Bytes. */
export const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;
/** A connection is not read from while the store holds more than this of its writes. Bytes. */
export const MAX_STORE_QUEUE_BYTES = 32 * 1024 * 1024;
/**
 * Requests under way in one session that answer later (flushes, reads behind queued writes,
 * records, documents).
 */
export const MAX_PENDING_REQUESTS = 4096;
/** Extents whose checksums one request may ask for: each may have to be read. */
export const MAX_CHECKSUM_EXTENTS = 16;
/** From SIGTERM until what is under way is given up. */
export const STOP_TIMEOUT_MS = 20_000;
/**
 * A target that is cut off may answer reads for this long after what it last heard; it allows
 * itself less, because clocks drift.
 */
export const READ_LEASE_MS = 2_000;
/** For the last frame of a connection to leave before the socket is destroyed. */
export const LINGER_MS = 1_000;

/** Files of frozen layers that are open at a time: a volume may have hundreds of layers. */
export const MAX_OPEN_LAYER_FILES = 64;
/** Milliseconds between two steps of merging layers. */
export const MERGE_TICK_MS = 20;
/** Extents that one step merges while the volume rests, and while it is used. */
export const MERGE_EXTENTS_AT_REST = 8;
export const MERGE_EXTENTS_IN_USE = 1;
/** A merge that cannot go on, for want of space say, or for a clone, tries again after this. */
export const MERGE_RETRY_MS = 10_000;
/** A clone whose origin's layers change while it is made begins anew this often. */
export const CLONE_ATTEMPTS = 10;
/** Pages of layers that are filled from another replica, in memory. */
export const MAX_FILLED_PAGES = 1024;
