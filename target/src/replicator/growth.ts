import { MAX_VOLUME_BYTES, BLOCK_BYTES } from '@openebs/replica/protocol';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import type { ResyncContext } from './resync.ts';
import { ChangeRefused } from './roster.ts';

/**
 * The volume grows: first every member that takes the stream, durable, then the volume itself.
 * Whoever comes later grows before it takes the stream. After a crash in between some members are
 * larger than others; the next activation makes the others follow.
 */
export class Growth {
  readonly #context: ResyncContext;
  readonly #members: () => readonly Member[];
  /** Whether every in-sync member is there, so that nobody can be left behind. */
  readonly #serving: () => boolean;
  readonly #grown: () => void;
  #wantedBytes: number;
  #last: Promise<void> = Promise.resolve();

  constructor({
    context,
    members,
    serving,
    grown,
  }: {
    readonly context: ResyncContext;
    readonly members: () => readonly Member[];
    readonly serving: () => boolean;
    readonly grown: () => void;
  }) {
    this.#context = context;
    this.#members = members;
    this.#serving = serving;
    this.#grown = grown;
    this.#wantedBytes = context.sizeBytes;
  }

  /** The size of the volume, or the one that it is about to have. */
  get wantedBytes(): number {
    return this.#wantedBytes;
  }

  /**
   * What these replicas hold is the volume: the size that a target is started with can be older
   * than the last growth, and the volume never shrinks.
   */
  learn(inSync: readonly Member[]): void {
    const sizeBytes = Math.max(...inSync.map(({ identity }) => identity?.sizeBytes ?? 0));
    if (sizeBytes <= this.#context.sizeBytes) return;
    this.#wantedBytes = Math.max(this.#wantedBytes, sizeBytes);
    this.#become(sizeBytes);
  }

  /** Resolves when the volume has this size. Rejects with ChangeRefused. */
  grow(sizeBytes: number): Promise<void> {
    const mine = this.#last.then(() => this.#grow(sizeBytes));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #grow(sizeBytes: number): Promise<void> {
    const context = this.#context;
    if (sizeBytes % BLOCK_BYTES !== 0 || sizeBytes > MAX_VOLUME_BYTES) {
      throw new ChangeRefused('a volume has whole blocks of 4 KiB and at most 64 TiB');
    }
    if (sizeBytes < context.sizeBytes) {
      throw new ChangeRefused(
        `the volume has ${context.sizeBytes} bytes and cannot shrink to ${sizeBytes}: what lies beyond would be lost`,
      );
    }
    if (sizeBytes === context.sizeBytes) return;
    this.#wantedBytes = Math.max(this.#wantedBytes, sizeBytes);
    for (;;) {
      if (!this.#serving()) {
        throw new ChangeRefused('the volume does not serve at present; try again when it does');
      }
      const small = this.#members().filter(
        ({ streaming, identity }) => streaming && (identity?.sizeBytes ?? 0) < sizeBytes,
      );
      if (small.length === 0) break;
      const results = await Promise.allSettled(small.map((member) => member.growTo(sizeBytes)));
      for (const result of results) {
        if (result.status === 'fulfilled') continue;
        const error: unknown = result.reason;
        if (!(error instanceof MemberError)) throw error;
        // Who was lost grows when it comes back.
        if (error.code !== 'LINK_CLOSED') throw new ChangeRefused(error.message);
      }
    }
    this.#become(sizeBytes);
  }

  #become(sizeBytes: number): void {
    this.#context.sizeBytes = sizeBytes;
    this.#context.environment.log('info', { sizeBytes }, 'the volume has grown');
    this.#grown();
  }
}
