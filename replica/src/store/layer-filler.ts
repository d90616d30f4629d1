import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { MAX_FILLED_PAGES } from '../limits.ts';
import { readU32 } from './block-checksums.ts';
import type { DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT, ExtentPage } from './extent-page.ts';
import { failureOf } from './failure.ts';
import type { FrozenLayer } from './frozen-layer.ts';
import { keepZeroes } from './hidden-blocks.ts';
import type { LayerFile } from './layer-files.ts';
import type { LayerSet } from './layer-set.ts';
import type { LayerContent, LayerFill, ReadDone } from './types.ts';

/**
 * Writes into layers that another replica has and this one lacks. A page goes to the disk only when
 * the data that it names are durable, so that after a crash a page never vouches for what is not
 * there; data without a page are copied once more.
 */
export class LayerFiller {
  readonly #layers: LayerSet;
  /** While pages are written, further fills wait. */
  #spilling: Promise<void> | null = null;
  /** An extent of a complete layer that gets its content anew, and the page that it shall have. */
  #renewed: { readonly frozen: FrozenLayer; readonly page: ExtentPage } | null = null;

  constructor(layers: LayerSet) {
    this.#layers = layers;
  }

  /**
   * Into a layer that is complete goes only what it holds already, to mend a bad block; or an
   * extent whose page is damaged, between `reset` and `seal`.
   */
  fill(layer: number, fill: LayerFill, done: ReadDone): void {
    if (this.#spilling !== null) {
      const copy = copyFill(fill);
      this.#spilling.then(
        () => this.fill(layer, copy, done),
        (cause: unknown) => done(failureOf('filling a layer', cause, fill.offsetBytes)),
      );
      return;
    }
    try {
      const frozen = this.#layers.frozen(layer);
      this.#check(frozen, fill);
      if (fill.kind === 'seal') {
        this.#seal(frozen, fill).then(
          () => done(null),
          (cause: unknown) => done(failureOf('filling a layer', cause, fill.offsetBytes)),
        );
        return;
      }
      if (fill.kind === 'reset') this.#reset(frozen, fill);
      else if (!frozen.stored.complete || this.#isRenewed(frozen, fill)) this.#apply(frozen, fill);
      else {
        mend(frozen, fill);
        // Nothing else makes a layer durable that is complete.
        frozen.data.sync((cause) =>
          done(cause === null ? null : failureOf('mending a layer', cause, fill.offsetBytes)),
        );
        return;
      }
      if (frozen.filled.size < MAX_FILLED_PAGES) {
        done(null);
        return;
      }
      this.#spilling = this.#spill(frozen).finally(() => (this.#spilling = null));
      this.#spilling.then(
        () => done(null),
        (cause: unknown) => done(failureOf('filling a layer', cause)),
      );
    } catch (cause) {
      done(failureOf('filling a layer', cause, fill.offsetBytes));
    }
  }

  /** Everything that was written into the layer is durable. */
  async finish(layer: number): Promise<void> {
    await this.#spilling;
    const frozen = this.#layers.frozen(layer);
    await this.#spill(frozen);
    await synced(frozen.meta);
  }

  #check(frozen: FrozenLayer, { kind, offsetBytes, lengthBytes }: LayerFill): void {
    const { complete } = frozen.stored;
    // Nobody clones what is doubtful, so that is another copy's only after a mistake.
    if ((!complete || kind === 'reset' || kind === 'seal') && frozen.shared)
      throw new StoreError(
        'LAYERS',
        `Layer ${frozen.id} is shared with a clone and stays as it is.`,
      );
    const end = offsetBytes + lengthBytes;
    const { sizeBytes } = this.#layers;
    const whole = end % BLOCK_BYTES === 0 || end === sizeBytes;
    if (offsetBytes % BLOCK_BYTES === 0 && whole && offsetBytes >= 0 && end <= sizeBytes) return;
    throw new StoreError(
      'OUT_OF_RANGE',
      `Bytes ${offsetBytes} to ${end} are not whole blocks inside the volume of ${sizeBytes} bytes.`,
    );
  }

  /**
   * The page that readers see stays the damaged one until the new one is durable, so that an extent
   * that is half filled is as unreadable as it was.
   */
  #reset(frozen: FrozenLayer, { offsetBytes, lengthBytes }: LayerFill): void {
    const extent = extentOf(offsetBytes);
    const bytes = Math.min(EXTENT_BYTES, this.#layers.sizeBytes - offsetBytes);
    if (offsetBytes % EXTENT_BYTES !== 0 || lengthBytes !== bytes)
      throw new StoreError(
        'OUT_OF_RANGE',
        `${lengthBytes} bytes from byte ${offsetBytes} on are not one extent.`,
      );
    const page = new ExtentPage();
    frozen.load(page, extent);
    if (!frozen.stored.complete || !page.unverified)
      throw new StoreError(
        'LAYERS',
        `The checksums of extent ${extent} of layer ${frozen.id} are not damaged.`,
      );
    page.reset(extent, frozen.stored.storeTag);
    this.#renewed = { frozen, page };
  }

  #isRenewed(frozen: FrozenLayer, { offsetBytes, lengthBytes }: LayerFill): boolean {
    const extent = this.#renewed?.page.extent;
    return (
      this.#renewed?.frozen === frozen &&
      extentOf(offsetBytes) === extent &&
      extentOf(offsetBytes + lengthBytes - 1) === extent
    );
  }

  /**
   * The data are durable before the page that vouches for them. What the layer does not hold goes
   * after that: a page of zeroes and no data would say that nothing was ever written there.
   */
  async #seal(frozen: FrozenLayer, fill: LayerFill): Promise<void> {
    const renewed = this.#renewed;
    if (renewed === null || !this.#isRenewed(frozen, fill)) throw notRenewed(frozen, fill);
    this.#renewed = null;
    const { page } = renewed;
    page.setUnknown();
    await synced(frozen.data);
    // The layers may have changed meanwhile, and the files with them.
    if (this.#layers.frozen(frozen.id) !== frozen) throw notRenewed(frozen, fill);
    page.seal();
    frozen.meta.file.write(page.bytes, page.extent * page.bytes.length);
    frozen.changed();
    this.#layers.stack.base?.forget(page.extent);
    await synced(frozen.meta);
    if (this.#layers.frozen(frozen.id) === frozen) emptyHoles(frozen.data.file, page);
  }

  #apply(frozen: FrozenLayer, fill: LayerContent): void {
    const { offsetBytes, lengthBytes } = fill;
    const { file } = frozen.data;
    const end = offsetBytes + lengthBytes;
    const blocksEnd = Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES;
    // The pages first: one that cannot be loaded must not be missed when the data are there.
    for (let at = offsetBytes; at < end; at += EXTENT_BYTES) this.#page(frozen, extentOf(at));
    this.#page(frozen, extentOf(end - 1));
    if (fill.kind === 'write') file.writeChunks(fill.chunks, lengthBytes, offsetBytes);
    else if (!frozen.stored.complete) empty(file, offsetBytes, blocksEnd - offsetBytes);
    for (let at = offsetBytes, index = 0; at < end; at += BLOCK_BYTES, index += 1) {
      const page = this.#page(frozen, extentOf(at));
      const block = (at % EXTENT_BYTES) / BLOCK_BYTES;
      if (fill.kind === 'write') {
        // The volume's last block may be cut off; its checksum is of the whole block.
        const sum =
          end - at < BLOCK_BYTES ? wholeSum(file, at) : readU32(fill.checksums, 4 * index);
        page.allocate(block, sum);
      } else {
        page.deallocate(block);
        if (fill.kind === 'zero') page.hide(block);
        else page.unhide(block);
      }
      page.setUnknown();
    }
    frozen.changed();
    for (let at = offsetBytes; at < end + EXTENT_BYTES; at += EXTENT_BYTES)
      this.#layers.stack.base?.forget(extentOf(at));
  }

  #page(frozen: FrozenLayer, extent: number): ExtentPage {
    if (frozen.stored.complete && this.#renewed !== null) return this.#renewed.page;
    let page = frozen.filled.get(extent);
    if (page === undefined) {
      page = new ExtentPage();
      frozen.load(page, extent);
      frozen.filled.set(extent, page);
    }
    return page;
  }

  async #spill(frozen: FrozenLayer): Promise<void> {
    if (frozen.filled.size === 0) return;
    for (const page of frozen.filled.values()) keepZeroes(page, frozen.data.file);
    await synced(frozen.data);
    const { file } = frozen.meta;
    for (const page of frozen.filled.values()) {
      page.seal();
      file.write(page.bytes, page.extent * page.bytes.length);
    }
    frozen.filled.clear();
    frozen.changed();
  }
}

/**
 * The page says which checksum each block has, so that a layer that others may share changes only
 * where it had rotted. All blocks are compared before the first is written.
 */
function mend(frozen: FrozenLayer, fill: LayerContent): void {
  const page = new ExtentPage();
  const bytes = fill.kind === 'write' ? wholeBlocks(fill.chunks) : null;
  for (let at = 0; at < fill.lengthBytes; at += BLOCK_BYTES) {
    const position = fill.offsetBytes + at;
    if (page.extent !== extentOf(position)) frozen.load(page, extentOf(position));
    const block = (position % EXTENT_BYTES) / BLOCK_BYTES;
    const sum = bytes === null ? null : zlib.crc32(bytes.subarray(at, at + BLOCK_BYTES));
    if (page.unverified || !page.isAllocated(block) || page.checksum(block) !== sum)
      throw new StoreError(
        'LAYERS',
        `Layer ${frozen.id} is complete, and at byte ${position} it does not hold what was sent.`,
      );
  }
  if (bytes !== null) frozen.data.file.write(bytes, fill.offsetBytes);
}

function notRenewed({ id }: FrozenLayer, { offsetBytes }: LayerFill): StoreError {
  const message = `Nothing was filled anew from byte ${offsetBytes} on of layer ${id} as it is now.`;
  return new StoreError('LAYERS', message);
}

/** The volume's last block may be cut off; in the file there are zeroes behind it. */
function wholeBlocks(chunks: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(chunks);
  const short = -bytes.length & (BLOCK_BYTES - 1);
  return short === 0 ? bytes : Buffer.concat([bytes, new Uint8Array(short)]);
}

/** Gives back what lies where the page names nothing. */
function emptyHoles(file: DiskFile, page: ExtentPage): void {
  const at = page.extent * EXTENT_BYTES;
  for (let from = 0; from < BLOCKS_PER_EXTENT;) {
    const end = page.next(true, from, BLOCKS_PER_EXTENT);
    if (end > from) file.punchHole(at + from * BLOCK_BYTES, (end - from) * BLOCK_BYTES);
    from = page.next(false, end, BLOCKS_PER_EXTENT);
  }
  keepZeroes(page, file);
}

function empty(file: DiskFile, offsetBytes: number, lengthBytes: number): void {
  if (!file.punchHole(offsetBytes, lengthBytes))
    file.write(new Uint8Array(lengthBytes), offsetBytes);
}

function wholeSum(file: DiskFile, offsetBytes: number): number {
  const block = new Uint8Array(BLOCK_BYTES);
  file.read(block, 0, BLOCK_BYTES, offsetBytes);
  return zlib.crc32(block);
}

function extentOf(offsetBytes: number): number {
  return Math.floor(offsetBytes / EXTENT_BYTES);
}

export function synced(file: LayerFile): Promise<void> {
  return new Promise((resolve, reject) => {
    file.sync((error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** What was given is only lent. */
function copyFill(fill: LayerFill): LayerFill {
  if (fill.kind !== 'write') return { ...fill };
  return {
    ...fill,
    chunks: fill.chunks.map((chunk) => Uint8Array.from(chunk)),
    checksums: Uint8Array.from(fill.checksums),
  };
}
