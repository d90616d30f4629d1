import { BLOCK_BYTES, EXTENT_BYTES } from '@openebs/replica/protocol';
import { readVerified } from './equalise.ts';
import { type Member, MemberError } from './member.ts';
import { bringExtent, lockRange, type ResyncContext } from './resync.ts';

/**
 * Blocks that a member has lost (rot, a read error) get a good copy again. First the blocks that
 * were read, since a member tells the checksum that such a block should have; then the whole extent
 * is compared and stamped, since more than one block may be bad.
 */
export class Repairs {
  readonly #context: ResyncContext;
  readonly #readers: () => readonly Member[];
  /** Member and extent of those that wait or are under way. */
  readonly #known = new Set<string>();
  #last: Promise<void> = Promise.resolve();

  constructor(context: ResyncContext, readers: () => readonly Member[]) {
    this.#context = context;
    this.#readers = readers;
  }

  /** From the first bad byte to the end of what was read. */
  request(member: Member, offsetBytes: number, endBytes: number): void {
    const extent = Math.floor(offsetBytes / EXTENT_BYTES);
    const key = `${member.index} ${extent}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    const first = Math.floor(offsetBytes / BLOCK_BYTES);
    const end = Math.min(
      Math.ceil(endBytes / BLOCK_BYTES) * BLOCK_BYTES,
      (extent + 1) * EXTENT_BYTES,
      this.#context.sizeBytes,
    );
    this.#last = this.#last.then(async () => {
      try {
        await this.#repair(member, first * BLOCK_BYTES, end, extent);
      } catch (error) {
        if (!(error instanceof MemberError) && !(error instanceof RangeError)) throw error;
        this.#context.environment.log(
          'error',
          { replica: member.address, reason: error.message },
          'a repair failed',
        );
      } finally {
        this.#known.delete(key);
      }
    });
  }

  async #repair(member: Member, start: number, end: number, extent: number): Promise<void> {
    const { stream, locks, statistics, environment } = this.#context;
    const others = (): Member[] => this.#readers().filter((reader) => reader !== member);
    if (others().length === 0) return;
    const { incarnation } = member;
    const lock = await lockRange(locks, start, end - start);
    try {
      const { data } = await readVerified(others(), start, end - start);
      if (!member.inSync || member.incarnation !== incarnation) return;
      stream.sendTo(member, start, end - start, data);
      await member.caughtUp();
    } finally {
      locks.release(lock);
    }
    if (!isInSync(member)) return;
    await bringExtent(this.#context, member, others, extent);
    const blocks = (end - start) / BLOCK_BYTES;
    statistics.repairedBlocks += blocks;
    environment.log('warn', { replica: member.address, offsetBytes: start, blocks }, 'repaired');
  }
}

/** Asked anew after an await. */
const isInSync = (member: Member): boolean => member.inSync;
