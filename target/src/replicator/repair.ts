import { badBlocksOf, BLOCK_BYTES, EXTENT_BYTES, hasBit } from '@openebs/replica/protocol';
import type { ScrubAnswer } from '@openebs/replica/protocol';
import { mendLayers } from './layer-repair.ts';
import type { ByteRange, RequestFailure } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { bringExtent, lockRange, type ResyncContext } from './resync.ts';
import { GONE, readVerified, sendCopy, type Sources, type VerifiedRead } from './verified-read.ts';

/**
 * Blocks that a member has lost (rot, a read error) get a good copy again: the member scrubs the
 * extent, the bad blocks are written from another member's under an exclusive lock, then the whole
 * extent is compared and stamped, since its page may be bad as well. Bad blocks of snapshots are
 * mended in their layers before.
 */
export class Repairs {
  readonly #context: ResyncContext;
  readonly #readers: () => readonly Member[];
  /** Member and extent of those that wait or are under way. */
  readonly #known = new Map<string, Promise<void>>();
  /** Blocks of which no member had a good copy when that was last tried, by extent. */
  readonly #lost = new Map<number, number>();
  #last: Promise<void> = Promise.resolve();

  constructor(context: ResyncContext, readers: () => readonly Member[]) {
    this.#context = context;
    this.#readers = readers;
  }

  /** Blocks that no replica can give back, as far as is known. */
  get lostBlocks(): number {
    let blocks = 0;
    for (const count of this.#lost.values()) blocks += count;
    return blocks;
  }

  /** A read met a bad copy. */
  found(member: Member, failure: RequestFailure, extent: number): void {
    const { environment, statistics } = this.#context;
    const { code, offsetBytes, message } = failure;
    statistics.checksumErrors++;
    statistics.lastProblem = `${member.address}: ${message}`;
    const fields = { replica: member.address, code, offsetBytes };
    environment.log('error', fields, `a bad copy: ${message}`);
    void this.repair(member, extent);
  }

  /** A whole copy of the extent has been seen. */
  sound(extent: number): void {
    this.#lost.delete(extent);
  }

  /**
   * `found`: what a scrub of the member has told, where one just has. Never rejects: a failure is
   * logged, and the next read or scrub tries again.
   */
  repair(member: Member, extent: number, found: ScrubAnswer | null = null): Promise<void> {
    const key = `${member.index} ${extent}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const repair = this.#last.then(async () => {
      try {
        await this.#repair(member, extent, found);
      } catch (error) {
        if (!(error instanceof MemberError) && !(error instanceof RangeError)) throw error;
        const fields = { replica: member.address, extent, reason: error.message };
        this.#context.environment.log('error', fields, 'a repair failed');
      } finally {
        this.#known.delete(key);
      }
    });
    this.#known.set(key, repair);
    this.#last = repair;
    return repair;
  }

  async #repair(member: Member, extent: number, known: ScrubAnswer | null): Promise<void> {
    const { sizeBytes, environment } = this.#context;
    const offsetBytes = extent * EXTENT_BYTES;
    const range = { offsetBytes, lengthBytes: Math.min(EXTENT_BYTES, sizeBytes - offsetBytes) };
    const others = (): Member[] => this.#readers().filter((reader) => reader !== member);
    let found = known ?? (await member.scrub(range));
    this.#lost.delete(extent);
    const fields = { replica: member.address, offsetBytes };
    const blocks = badBlocksOf(found);
    if (blocks > 0 && others().length === 0) {
      this.#lost.set(extent, blocks);
      environment.log('error', { ...fields, blocks }, 'blocks are lost: there is no other copy');
      return;
    }
    if (found.layers.size > 0) {
      const mended = await mendLayers(member, others(), range, found.layers);
      if (mended > 0) {
        this.#context.statistics.repairedBlocks += mended;
        environment.log('warn', { ...fields, blocks: mended }, 'blocks of snapshots repaired');
        found = await member.scrub(range);
      }
    }
    const hidden = badBlocksOf(found) - badBlocksOf({ bad: found.bad, layers: new Map() });
    if (hidden > 0) {
      this.#lost.set(extent, hidden);
      const message = 'blocks of snapshots are lost: no copy of them is good';
      environment.log('error', { ...fields, blocks: hidden }, message);
    }
    await this.#repairVolume(member, extent, range, found.bad);
  }

  async #repairVolume(
    member: Member,
    extent: number,
    { offsetBytes, lengthBytes }: ByteRange,
    bitmap: Uint8Array,
  ): Promise<void> {
    const { locks, statistics, environment } = this.#context;
    const others = (): Member[] => this.#readers().filter((reader) => reader !== member);
    const bad = badRuns(bitmap, lengthBytes);
    const badBlocks = bad.reduce((sum, { blocks }) => sum + blocks, 0);
    if (badBlocks === 0) return;
    const fields = { replica: member.address, offsetBytes, blocks: badBlocks };
    const lock = await lockRange(locks, { offsetBytes, lengthBytes, mode: 'exclusive' });
    let lost = 0;
    try {
      for (const run of bad) lost += await this.#rewrite(member, others, offsetBytes, run);
      await member.caughtUp();
    } finally {
      locks.release(lock);
    }
    if (lost > 0) this.#lost.set(extent, lost + (this.#lost.get(extent) ?? 0));
    statistics.repairedBlocks += badBlocks - lost;
    if (lost > 0) {
      environment.log('error', { ...fields, lost }, 'blocks are lost: no copy of them is good');
      return;
    }
    if (!isInSync(member)) throw new MemberError(GONE, member.address);
    await bringExtent(this.#context, member, others, extent);
    environment.log('warn', fields, 'repaired');
  }

  /** Returns how many blocks have no good copy. The caller holds the extent's lock. */
  async #rewrite(
    member: Member,
    others: Sources,
    extentStart: number,
    { first, blocks }: Run,
  ): Promise<number> {
    const { stream, sizeBytes } = this.#context;
    const { incarnation } = member;
    let lost = 0;
    let at = extentStart + first * BLOCK_BYTES;
    const end = Math.min(sizeBytes, at + blocks * BLOCK_BYTES);
    let piece = end - at;
    while (at < end) {
      const bytes = Math.min(piece, end - at);
      let good: VerifiedRead | null = null;
      try {
        good = await readVerified(others, at, bytes);
      } catch (error) {
        if (!(error instanceof MemberError) || error.code === 'LINK_CLOSED') throw error;
        // From here on block by block, so that one that is lost does not keep the others.
        if (bytes > BLOCK_BYTES) {
          piece = BLOCK_BYTES;
          continue;
        }
        lost++;
      }
      if (!member.inSync || member.incarnation !== incarnation) {
        good?.loan?.release();
        throw new MemberError(GONE, member.address);
      }
      if (good !== null) sendCopy(stream, member, at, good);
      good?.loan?.release();
      at += bytes;
    }
    return lost;
  }
}

interface Run {
  readonly first: number;
  readonly blocks: number;
}

const badRuns = (bitmap: Uint8Array, lengthBytes: number): Run[] => {
  const runs: { first: number; blocks: number }[] = [];
  const blocks = Math.ceil(lengthBytes / BLOCK_BYTES);
  for (let block = 0; block < blocks; block++) {
    if (!hasBit(bitmap, block)) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.blocks === block) last.blocks++;
    else runs.push({ first: block, blocks: 1 });
  }
  return runs;
};

/** Asked anew after an await. */
const isInSync = (member: Member): boolean => member.inSync;
