import { zlib } from '../runtime/builtin.ts';
import type { Disk, DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';

/**
 * A small file that is always whole: two slots, each a header and a payload with their checksums. A
 * change goes to the slot that is not the newest durable one, so that a torn write destroys only
 * what was superseded; when nothing else waits the other slot gets the same content, so that rot of
 * one slot loses nothing either.
 *
 * Format of the slots 1: the first. Little endian.
 */
export const SLOT_LAYOUT = {
  magic: { offset: 0, bytes: 8 },
  format: { offset: 8, bytes: 4 },
  payloadBytes: { offset: 12, bytes: 4 },
  generation: { offset: 16, bytes: 8 },
  payloadChecksum: { offset: 24, bytes: 4 },
  /** crc32 of bytes 0 to 27. */
  headerChecksum: { offset: 28, bytes: 4 },
  reserved: { offset: 32, bytes: 32 },
} as const;
export const SLOT_HEADER_BYTES = 64;

export interface TwoSlotKind {
  readonly fileName: string;
  /** Eight ASCII characters. */
  readonly magic: string;
  readonly format: number;
  readonly slotBytes: number;
}

interface ValidSlot {
  readonly kind: 'valid';
  readonly generation: number;
  readonly payload: Buffer;
}

/** What a slot holds, or why it holds nothing. */
export type Slot =
  | ValidSlot
  | { readonly kind: 'damaged' }
  | { readonly kind: 'unreadable'; readonly cause: Error }
  | { readonly kind: 'too-new'; readonly format: number };

/** A read error may pass; the newest slot must not be taken for damaged for one of these. */
const READ_ATTEMPTS = 3;

type Done = (error: Error | null) => void;

export class TwoSlotFile {
  readonly #file: DiskFile;
  readonly #kind: TwoSlotKind;
  #generation: number;
  /** The slot whose content is the newest durable one. */
  #newest: 0 | 1;
  #failure: Error | null = null;
  #writing = false;
  #rottenSlots = 0;
  #dirty = false;
  /**
   * Composes the payload at the last moment, so that all changes made until then share one write.
   */
  readonly #compose: () => Uint8Array;
  /** Of what is composed: an older one than the kind's where that says it all. */
  readonly #format: () => number;
  #waiting: Done[] = [];
  /** Called when no write is under way any more. */
  #idle: (() => void)[] = [];
  /** What the newest slot holds, until the other one holds it as well. */
  #toMirror: Buffer | null = null;

  private constructor(options: {
    file: DiskFile;
    kind: TwoSlotKind;
    generation: number;
    newest: 0 | 1;
    compose: () => Uint8Array;
    format: () => number;
  }) {
    this.#file = options.file;
    this.#kind = options.kind;
    this.#generation = options.generation;
    this.#newest = options.newest;
    this.#compose = options.compose;
    this.#format = options.format;
  }

  /**
   * Makes the file with this content in both slots; it appears in the directory only when it is
   * whole.
   */
  static create(disk: Disk, kind: TwoSlotKind, payload: Uint8Array, format = kind.format): void {
    const temporary = `${kind.fileName}.new`;
    const file = disk.create(temporary);
    try {
      file.write(new Uint8Array(2 * kind.slotBytes), 0);
      const slot = encodeSlot({ ...kind, format }, 1, payload);
      file.write(slot, 0);
      file.write(slot, kind.slotBytes);
      file.syncNow();
    } finally {
      file.close();
    }
    disk.rename(temporary, kind.fileName);
    disk.syncDirectory();
  }

  /**
   * Opens the file and gives the newest payload. Throws SUPERBLOCK_DAMAGED when neither slot is
   * good and FORMAT_TOO_NEW when one was written by a later version of the program.
   */
  static open(
    disk: Disk,
    kind: TwoSlotKind,
    compose: () => Uint8Array,
    format: () => number = () => kind.format,
  ): { file: TwoSlotFile; payload: Buffer; damagedSlots: number } {
    const file = disk.open(kind.fileName);
    try {
      const slots = [readSlot(file, kind, 0), readSlot(file, kind, 1)] as const;
      const { newest, best, other } = newestSlot(slots, `${disk.directory}/${kind.fileName}`);
      // The process before may have been killed between its write and its sync: what was read is
      // built upon from here on, so it has to be on the disk and not in the page cache alone.
      file.syncNow();
      const damagedSlots = other.kind === 'valid' ? 0 : 1;
      const { generation, payload } = best;
      const opened = new TwoSlotFile({ file, kind, generation, newest, compose, format });
      return { file: opened, payload, damagedSlots };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Writes what `compose` gives; calls back when it is durable. Calls during a write share the next
   * one.
   */
  commit(done: Done): void {
    if (this.#failure !== null) {
      done(this.#failure);
      return;
    }
    this.#waiting.push(done);
    this.#dirty = true;
    if (!this.#writing) this.#write();
  }

  /** Calls back when nothing is being written: both slots hold the newest content. */
  settled(done: () => void): void {
    if (this.#writing) this.#idle.push(done);
    else done();
  }

  /** Slots that `scrub` found rotten. */
  get rottenSlots(): number {
    return this.#rottenSlots;
  }

  /** Reads both slots; where one has rotted since it was written, both are written again. */
  scrub(done: () => void): void {
    this.settled(() => {
      if (this.#failure !== null) {
        done();
        return;
      }
      const slots = [readSlot(this.#file, this.#kind, 0), readSlot(this.#file, this.#kind, 1)];
      const rotten = slots.filter(
        (slot) => slot.kind !== 'valid' || slot.generation !== this.#generation,
      ).length;
      this.#rottenSlots += rotten;
      if (rotten === 0) done();
      else this.commit(() => this.settled(done));
    });
  }

  close(): void {
    this.#file.close();
  }

  #write(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#writing = true;
    const target = this.#newest === 0 ? 1 : 0;
    let slot: Buffer;
    try {
      slot = this.#dirty ? this.#next() : (this.#toMirror ?? this.#next());
      this.#file.write(slot, target * this.#kind.slotBytes);
    } catch (error) {
      this.#finish(waiting, error as Error);
      return;
    }
    const mirror = slot === this.#toMirror;
    this.#file.sync((error) => {
      if (error === null) {
        if (!mirror) this.#newest = target;
        this.#toMirror = mirror ? null : slot;
      }
      this.#finish(waiting, error);
    });
  }

  #next(): Buffer {
    this.#dirty = false;
    this.#generation += 1;
    const payload = this.#compose();
    return encodeSlot({ ...this.#kind, format: this.#format() }, this.#generation, payload);
  }

  #finish(waiting: readonly Done[], error: Error | null): void {
    this.#failure ??= error;
    this.#writing = false;
    for (const done of waiting) done(error);
    if (this.#failure !== null) {
      const rest = this.#waiting;
      this.#waiting = [];
      for (const done of rest) done(this.#failure);
    } else if (this.#dirty || this.#toMirror !== null) this.#startUnlessStarted();
    this.#tellIdle();
  }

  /** A callback may have begun the next write already. */
  #startUnlessStarted(): void {
    if (!this.#writing) this.#write();
  }

  #tellIdle(): void {
    if (this.#writing) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const done of idle) done();
  }
}

function encodeSlot(kind: TwoSlotKind, generation: number, payload: Uint8Array): Buffer {
  const slot = Buffer.alloc(SLOT_HEADER_BYTES + payload.length);
  if (slot.length > kind.slotBytes)
    throw new StoreError(
      'TOO_LARGE',
      `The content of ${kind.fileName} has ${payload.length} bytes, its slot takes ` +
        `${kind.slotBytes - SLOT_HEADER_BYTES}.`,
    );
  slot.write(kind.magic, SLOT_LAYOUT.magic.offset, 'latin1');
  slot.writeUInt32LE(kind.format, SLOT_LAYOUT.format.offset);
  slot.writeUInt32LE(payload.length, SLOT_LAYOUT.payloadBytes.offset);
  slot.writeUIntLE(generation, SLOT_LAYOUT.generation.offset, 6);
  slot.writeUInt32LE(zlib.crc32(payload), SLOT_LAYOUT.payloadChecksum.offset);
  const checked = slot.subarray(0, SLOT_LAYOUT.headerChecksum.offset);
  slot.writeUInt32LE(zlib.crc32(checked), SLOT_LAYOUT.headerChecksum.offset);
  slot.set(payload, SLOT_HEADER_BYTES);
  return slot;
}

/** What one slot holds. */
export function readSlot(file: DiskFile, kind: TwoSlotKind, index: 0 | 1): Slot {
  const slot = Buffer.alloc(kind.slotBytes);
  for (let attempt = 1; ; attempt++) {
    try {
      file.read(slot, 0, slot.length, index * kind.slotBytes);
      break;
    } catch (error) {
      if (attempt === READ_ATTEMPTS) return { kind: 'unreadable', cause: error as Error };
    }
  }
  const checked = slot.subarray(0, SLOT_LAYOUT.headerChecksum.offset);
  const magic = slot.toString('latin1', 0, SLOT_LAYOUT.magic.bytes);
  const headerChecksum = slot.readUInt32LE(SLOT_LAYOUT.headerChecksum.offset);
  if (magic !== kind.magic || headerChecksum !== zlib.crc32(checked)) return { kind: 'damaged' };
  const format = slot.readUInt32LE(SLOT_LAYOUT.format.offset);
  if (format > kind.format) return { kind: 'too-new', format };
  const payloadBytes = slot.readUInt32LE(SLOT_LAYOUT.payloadBytes.offset);
  if (payloadBytes > kind.slotBytes - SLOT_HEADER_BYTES) return { kind: 'damaged' };
  const payload = slot.subarray(SLOT_HEADER_BYTES, SLOT_HEADER_BYTES + payloadBytes);
  if (slot.readUInt32LE(SLOT_LAYOUT.payloadChecksum.offset) !== zlib.crc32(payload))
    return { kind: 'damaged' };
  const generation = slot.readUIntLE(SLOT_LAYOUT.generation.offset, 6);
  return { kind: 'valid', generation, payload };
}

function newestSlot(
  slots: readonly [Slot, Slot],
  where: string,
): { newest: 0 | 1; best: ValidSlot; other: Slot } {
  const [first, second] = slots;
  for (const slot of slots)
    if (slot.kind === 'too-new')
      throw new StoreError(
        'FORMAT_TOO_NEW',
        `${where} has format ${slot.format}, which a later version of OpenEBS wrote. Run that ` +
          'version or a later one on this directory.',
      );
  if (first.kind === 'valid' && (second.kind !== 'valid' || first.generation >= second.generation))
    return { newest: 0, best: first, other: second };
  if (second.kind === 'valid') return { newest: 1, best: second, other: first };
  for (const slot of slots)
    if (slot.kind === 'unreadable')
      throw new StoreError(
        'IO_ERROR',
        `No slot of ${where} is good, and one cannot be read (${slot.cause.message}). Look into ` +
          'the log of the kernel (dmesg) for the device, then start the replica again.',
      );
  throw new StoreError(
    'SUPERBLOCK_DAMAGED',
    `Neither slot of ${where} passes its checksum. The copy cannot be used. Where another ` +
      'replica has the volume, remove the directory and let it be rebuilt from that one; where ' +
      'none has, keep it: the blocks are still in its .img files.',
  );
}
