import { EXTENT_BYTES } from '@openebs/replica/protocol';
import type { Growth } from './growth.ts';
import { mendLayers } from './layer-repair.ts';
import { bringLayers } from './layer-return.ts';
import type { LayerTree } from './layer-tree.ts';
import type { MemberState } from './member-state.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { bringUpToDate, type ResyncContext } from './resync.ts';
import { ResyncProgress } from './resync-progress.ts';

interface Return {
  readonly member: Member;
  readonly progress: ResyncProgress;
}

/**
 * Brings members back that are connected and not in sync, one at a time:
 *
 *   promised (gets the layers that it lacks)
 *            -> syncing (takes the stream, gets what it missed)
 *            -> joining (waited for, caught up, flushed) -> a record names it
 */
export class Returns {
  readonly #context: ResyncContext;
  readonly #growth: Growth;
  readonly #sources: () => readonly Member[];
  /** A member's state has changed, so that a record may have to. */
  readonly #changed: () => void;
  readonly #layers: () => LayerTree | null;
  #current: Return | null = null;
  #paused = false;

  constructor(
    context: ResyncContext,
    growth: Growth,
    sources: () => readonly Member[],
    layers: () => LayerTree | null,
    changed: () => void,
  ) {
    this.#context = context;
    this.#growth = growth;
    this.#sources = sources;
    this.#layers = layers;
    this.#changed = changed;
  }

  get busy(): boolean {
    return this.#paused || this.#current !== null;
  }

  /** Nobody begins until resume(); who is on the way, and not yet waited for, begins anew. */
  pause(reason: string): void {
    this.#paused = true;
    const kind = this.#current?.member.state.kind;
    if (kind === 'promised' || kind === 'syncing') this.#current?.member.drop(reason);
  }

  resume(): void {
    this.#paused = false;
  }

  progressOf(member: Member): ResyncProgress | null {
    return this.#current?.member === member ? this.#current.progress : null;
  }

  /** The epoch has ended; whoever was on the way back begins anew in the next one. */
  forget(): void {
    this.#current = null;
  }

  begin(member: Member): void {
    const { environment } = this.#context;
    const progress = new ResyncProgress(environment.now());
    const current = { member, progress };
    this.#current = current;
    environment.log('info', { replica: member.address }, 'resynchronisation begins');
    this.#bringBack(current).then(
      () => this.#ended(current, null),
      (error: unknown) => {
        if (error instanceof MemberError || error instanceof RangeError) {
          this.#ended(current, error.message);
          return;
        }
        // A programming error: end the process rather than go on in an unknown state.
        queueMicrotask(() => {
          throw error;
        });
      },
    );
  }

  /** One that belongs to an earlier epoch has nothing to say any more. */
  #ended(current: Return, failure: string | null): void {
    if (this.#current !== current) return;
    this.#current = null;
    if (failure !== null) current.member.drop(`resynchronisation failed: ${failure}`);
    this.#changed();
  }

  async #bringBack(current: Return): Promise<void> {
    const { member, progress } = current;
    const { environment, stream } = this.#context;
    const { connections } = member;
    const sources = (): readonly Member[] => {
      if (this.#current !== current) throw new RangeError('the epoch has ended');
      // It was lost and is back while somebody else was waited for: what it shall have may have
      // changed since, and it begins anew.
      if (member.connections !== connections) throw lost(member, 'was lost meanwhile');
      return this.#sources();
    };
    await this.#grow(member);
    const tree = this.#layers();
    if (tree !== null) {
      await this.#bringLayers(current, tree, sources);
      sources();
      requireState(member, 'promised');
      await this.#grow(member);
    }
    sources();
    requireState(member, 'promised');
    member.become({ kind: 'syncing' });
    stream.add(member);
    await bringUpToDate(this.#context, member, sources, progress);
    sources();
    requireState(member, 'syncing');
    // From here on writes and flushes wait for it. What was completed before it has, and has
    // flushed, before a record names it.
    member.become({ kind: 'joining', ready: false });
    this.#changed();
    stream.endTurn();
    await member.caughtUp();
    await member.flushed();
    requireState(member, 'joining');
    member.become({ kind: 'joining', ready: true });
    environment.log(
      'info',
      { replica: member.address, copiedBytes: progress.copiedBytes },
      'resynchronisation done',
    );
    this.#changed();
  }

  async #bringLayers(
    { member, progress }: Return,
    tree: LayerTree,
    sources: () => readonly Member[],
  ): Promise<void> {
    const { pace, environment, statistics } = this.#context;
    const run = pace.begin();
    const sizeBytes = (): number => this.#context.sizeBytes;
    const turn = async (): Promise<void> => {
      await run.turn();
      sources();
    };
    const finished = (bytes: number): void => {
      progress.copied(bytes, environment.now());
      statistics.resyncedBytes += bytes;
      run.finished(bytes);
    };
    const filled = (done: number, layers: number): void => progress.layersFilled(done, layers);
    const mend = (source: Member, offsetBytes: number): Promise<void> =>
      this.#mend(source, member, offsetBytes);
    try {
      await bringLayers({ tree, member, sources, sizeBytes, filled, mend, turn, finished });
    } finally {
      run.end();
    }
  }

  /** Blocks of the source's layers that have rotted, as far as the other one has them. */
  async #mend(source: Member, other: Member, offsetBytes: number): Promise<void> {
    const { environment, statistics, sizeBytes } = this.#context;
    const start = offsetBytes - (offsetBytes % EXTENT_BYTES);
    const range = { offsetBytes: start, lengthBytes: Math.min(EXTENT_BYTES, sizeBytes - start) };
    const { layers } = await source.scrub(range);
    const blocks = await mendLayers(source, [other], range, layers);
    statistics.checksumErrors++;
    statistics.repairedBlocks += blocks;
    if (blocks === 0) return;
    const fields = { replica: source.address, from: other.address, offsetBytes: start, blocks };
    environment.log('warn', fields, 'blocks of snapshots repaired from a replica that comes back');
  }

  /** Whoever takes the stream is as large as the volume is, or is about to be. */
  async #grow(member: Member): Promise<void> {
    for (let size = 0; size < this.#growth.wantedBytes;) {
      size = this.#growth.wantedBytes;
      await member.growTo(size);
    }
  }
}

/** Between an answer and the continuation of what waited for it, a member can have been lost. */
const requireState = (member: Member, kind: MemberState['kind']): void => {
  if (member.state.kind !== kind) throw lost(member, `is ${member.state.kind} now`);
};

const lost = ({ address }: Member, message: string): MemberError =>
  new MemberError({ code: 'LINK_CLOSED', message, offsetBytes: null }, address);
