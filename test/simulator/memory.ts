/**
 * Memory outside of V8's heap costs page faults when it is fresh and full collections when it is
 * let go of: half of the processor time of runs that have their own each. Nothing of a run lives on
 * after it, so the large buffers of the next one are the same.
 */

type Memory = Buffer<ArrayBuffer>;

interface SizeClass {
  readonly buffers: Memory[];
  used: number;
}

/** Smaller ones come from Node's own pool, or cost little. Bytes. */
const LEAST_BYTES = 2048;
/** What is kept from one run to the next. Bytes. */
const MOST_KEPT_BYTES = 128 * 1024 * 1024;

const classes = new Map<number, SizeClass>();
let keptBytes = 0;
const fresh = Buffer.allocUnsafeSlow.bind(Buffer);
const zeroed = Buffer.alloc.bind(Buffer);

/** Holds whatever it held. */
const take = (bytes: number): Memory => {
  if (bytes < LEAST_BYTES) return fresh(bytes);
  let own = classes.get(bytes);
  if (own === undefined) {
    own = { buffers: [], used: 0 };
    classes.set(bytes, own);
  }
  const kept = own.buffers[own.used];
  if (kept !== undefined) {
    own.used++;
    return kept;
  }
  const buffer = fresh(bytes);
  if (keptBytes + bytes > MOST_KEPT_BYTES) return buffer;
  keptBytes += bytes;
  own.used = own.buffers.push(buffer);
  return buffer;
};

/** While `work` runs, Buffer gives memory that is taken back when it ends. */
export const withOwnMemory = <T>(work: () => T): T => {
  Buffer.allocUnsafeSlow = take;
  Buffer.alloc = (bytes, fill, encoding) =>
    fill === undefined && bytes >= LEAST_BYTES
      ? take(bytes).fill(0)
      : zeroed(bytes, fill, encoding);
  try {
    return work();
  } finally {
    Buffer.alloc = zeroed;
    Buffer.allocUnsafeSlow = fresh;
    for (const own of classes.values()) own.used = 0;
  }
};
