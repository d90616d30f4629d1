/** All caps and periods of the control plane. Bytes, milliseconds, counts: the name says which. */

/**
 * A DNS label (RFC 1123 2.1): it names the directory, the IQN's suffix and, in a cluster, the
 * Service.
 */
export const MAX_NAME_CHARACTERS = 63;
/** Largest volume: 64 TiB, sparse. */
export const MAX_VOLUME_BYTES = 64 * 1024 ** 4;
export const MIN_VOLUME_BYTES = 1024 ** 2;
/** Sizes are multiples of the physical block. */
export const SIZE_STEP_BYTES = 4096;
export const MAX_REPLICAS = 5;
export const DEFAULT_REPLICAS = 3;
export const DEFAULT_VOLUME_BYTES = 1024 ** 3;

export const API_PORT = 5656;
export const ISCSI_PORT = 3260;
/** Ports tried after a busy one before any free port is taken. */
export const PORT_ATTEMPTS = 64;

/** Bytes of sun_path in Linux are 108 with the closing zero. */
export const MAX_SOCKET_PATH_BYTES = 107;

export const MAX_BODY_BYTES = 64 * 1024;
/** Largest answer taken from a daemon's control API. */
export const MAX_CONTROL_BYTES = 4 * 1024 ** 2;
export const CONTROL_TIMEOUT_MS = 2_000;
/** A target waits for replicas that come or go before it changes the layers. */
export const SNAPSHOT_TIMEOUT_MS = 30_000;

export const DEFAULT_PAGE_ITEMS = 100;
export const MAX_PAGE_ITEMS = 1_000;
export const MAX_OPERATIONS = 1_000;
export const MAX_EVENTS = 1_000;
export const MAX_EVENT_STREAMS = 100;
export const MAX_IDEMPOTENCY_KEYS = 10_000;
export const MAX_IDEMPOTENCY_KEY_CHARACTERS = 255;
export const IDEMPOTENCY_TTL_MS = 24 * 3600_000;

/** A child that stayed up this long starts again with the shortest delay. */
export const STABLE_AFTER_MS = 30_000;
export const RESTART_MIN_MS = 100;
export const RESTART_MAX_MS = 15_000;
/** Failures in a row after which the cause is told instead of "starting". */
export const FAILURES_BEFORE_REASON = 2;
export const READY_POLL_MS = 30;
export const OBSERVE_PERIOD_MS = 1_000;
/** How long a target may drain, a replica may flush, before it is killed. */
export const TARGET_STOP_MS = 15_000;
export const REPLICA_STOP_MS = 60_000;
/** How long a new system waits for the daemons of one that was killed. */
export const LEFTOVER_WAIT_MS = 30_000;
/** The target dials its replicas; it starts when they listen, or after this time without them. */
export const REPLICAS_FIRST_MS = 3_000;
/** How long the creation of a volume may take before the operation says that it failed. */
export const CREATE_TIMEOUT_MS = 60_000;

export const MAX_LOG_BYTES = 8 * 1024 ** 2;
export const LOG_CHECK_PERIOD_MS = 10_000;
/** Tail of a log in which the cause of an exit is looked for. */
export const LOG_TAIL_BYTES = 16 * 1024;
export const MAX_RECORD_BYTES = 256 * 1024;
/** Below this a data directory cannot be worked in. */
export const MIN_FREE_BYTES = 16 * 1024 ** 2;

/** Calls of the Kubernetes API. */
export const KUBE_LIMITS = {
  callMs: 30_000,
  callAttempts: 5,
  /** Where the server names no time of its own. */
  retryMs: 500,
  maxRetryMs: 30_000,
  /** How long credentials are used before they are read again. */
  credentialsMs: 30_000,
  listPageObjects: 500,
  /** A watch is ended by the server after a random time between this and twice this. */
  watchSeconds: 300,
  watchGraceSeconds: 30,
  /** An object has at most 1.5 MiB in etcd. */
  watchLineBytes: 8 * 1024 ** 2,
  reflectorMinMs: 800,
  reflectorMaxMs: 30_000,
} as const;
