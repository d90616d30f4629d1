import { MAX_VOLUME_BYTES, type Epoch, type LayersChange } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { DocumentKeeper } from './document-keeper.ts';
import { DocumentError } from './documents.ts';
import { LayerError } from './layer-error.ts';
import {
  addRevert,
  addSnapshot,
  encodeTree,
  findSnapshot,
  removeSnapshot,
  reserveIds,
  snapshotsOf,
  type LayerPoint,
  type LayerTree,
} from './layer-tree.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { CallerLock } from './range-lock.ts';
import type { ResyncContext } from './resync.ts';

/** What changes of the layers need from those who look after the members. */
export interface LayersHost {
  readonly resync: ResyncContext;
  readonly epoch: Epoch;
  /** Members whose acknowledgement each write and flush needs. */
  readonly required: readonly Member[];
  /** I/O flows, nobody is on the way in or out. */
  readonly isSettled: boolean;
  /** In words, why it does not. */
  readonly waitingFor: string;
  /** Nobody is resynchronised until they are resumed; who was, begins anew. */
  pauseReturns(): void;
  resumeReturns(): void;
  /** What was decided is not known: all members are asked again. */
  reactivate(reason: string): void;
  nextChange(timeoutMs: number | null): Promise<void>;
}

/** Not all that settles a volume is a change of a member's state. */
const POLL_MS = 50;

export const LAYERS_DOCUMENT = 'layers';

/** How a change went, for people. */
export interface LayerOutcome {
  readonly name: string;
  readonly createdAt: string;
  /** How long I/O waited. */
  readonly heldMs: number;
}

/**
 * Changes of the tree of layers, one at a time. The document `layers` decides: it says what the
 * tree is, durable at a majority of the voters; members are made to follow it, at once or when they
 * come back.
 *
 *   snapshot: id reserved -> flush -> I/O held and drained -> layer added on all members
 *             -> document -> I/O goes on
 *   delete:   document -> members
 *   revert:   id reserved -> flush -> I/O held and drained -> flush -> document -> members
 *             -> I/O goes on
 *
 * A snapshot is on all members before the document says so: until then it can be undone, since
 * nobody writes to the new head. A revert cannot be undone, so it is decided first.
 */
export class Layers {
  readonly #host: LayersHost;
  readonly #documents: DocumentKeeper;
  readonly #reverted: () => void;
  /** As decided; null until the first activation. */
  #tree: LayerTree | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(host: LayersHost, documents: DocumentKeeper, reverted: () => void) {
    this.#host = host;
    this.#documents = documents;
    this.#reverted = reverted;
  }

  get tree(): LayerTree | null {
    return this.#tree;
  }

  /** The activation has found what was decided, and the in-sync members follow it. */
  begin(tree: LayerTree): void {
    this.#tree = tree;
  }

  /** A point in the order of writes, on all members, under this name. Throws LayerError. */
  snapshot(name: string, createdAt: string): Promise<LayerOutcome> {
    return this.#alone(name, async () => {
      const tree = this.#require();
      if (findSnapshot(tree, name) !== undefined) {
        throw new LayerError('EXISTS', `there is a snapshot ${name} already; choose another name`);
      }
      requireRoom(tree);
      const point = { head: await this.#reserve(), name, createdAt };
      return this.#quiesced(point, (members, deadlineMs) =>
        this.#makeSnapshot(point, members, deadlineMs),
      );
    });
  }

  /** The name goes at once; what only this snapshot holds, in the background. */
  async delete(name: string): Promise<void> {
    await this.#alone(name, async () => {
      const tree = this.#require();
      const layer = findSnapshot(tree, name)?.id;
      if (layer === undefined) throw absent(name);
      await this.#decide(removeSnapshot(tree, layer), this.#host.epoch);
      await this.#follow(this.#host.required, { change: 'delete', layer });
      this.#log({ name }, 'snapshot deleted');
    });
  }

  /** The volume is again what the snapshot is; what it was is kept as snapshot `keptAs`. */
  revert(name: string, keptAs: string, createdAt: string): Promise<LayerOutcome> {
    return this.#alone(name, async () => {
      const tree = this.#require();
      const to = findSnapshot(tree, name)?.id;
      if (to === undefined) throw absent(name);
      if (findSnapshot(tree, keptAs) !== undefined) {
        const advice = `choose another name for what the volume is now`;
        throw new LayerError('EXISTS', `there is a snapshot ${keptAs} already; ${advice}`);
      }
      requireRoom(tree);
      const point = { head: await this.#reserve(), name: keptAs, createdAt };
      return this.#quiesced(point, async (members) => {
        await this.#flush(members);
        this.#requireSame(members);
        await this.#decide(addRevert(this.#require(), to, point), this.#host.epoch);
        await this.#follow(members, { change: 'revert', to, ...point });
        this.#reverted();
        this.#log({ name, keptAs }, 'volume reverted');
      });
    });
  }

  async #makeSnapshot(
    point: LayerPoint,
    members: readonly Member[],
    deadlineMs: number,
  ): Promise<void> {
    const { epoch, resync } = this.#host;
    const { stream, environment } = resync;
    stream.endTurn();
    const answers = Promise.allSettled(
      members.map((member) => member.putLayers({ change: 'snapshot', ...point })),
    );
    const results = await this.#within(answers, deadlineMs - environment.now());
    const failed = results?.findIndex(({ status }) => status === 'rejected') ?? -1;
    if (results === null || failed >= 0 || !this.#isSame(members, epoch)) {
      this.#undo(members, point.head);
      const result = results?.[failed];
      const reason: unknown = result?.status === 'rejected' ? result.reason : null;
      if (reason !== null && !(reason instanceof MemberError)) throw reason as Error;
      const limit = `not all replicas made it within ${REPLICATOR_LIMITS.snapshotMs} ms`;
      throw new LayerError(
        'NOT_READY',
        `the snapshot was undone: ${reason?.message ?? (results === null ? limit : this.#host.waitingFor)}; try again`,
      );
    }
    await this.#decide(addSnapshot(this.#require(), point), epoch);
    this.#log({ name: point.name, layer: point.head }, 'snapshot made');
  }

  /**
   * Who is lost meanwhile takes it back when it comes again. What is written from now on reaches a
   * member after this.
   */
  #undo(members: readonly Member[], head: number): void {
    for (const member of members) {
      if (!member.inSync) continue;
      member.putLayers({ change: 'undo', head }).catch((error: unknown) => {
        dropUnlessLost(member, error);
      });
    }
  }

  /** An id that nobody has used, whatever became of earlier attempts. */
  async #reserve(): Promise<number> {
    const tree = this.#require();
    const id = tree.nextId;
    await this.#decide(reserveIds(tree, id + 1), this.#host.epoch);
    return id;
  }

  async #decide(tree: LayerTree, epoch: Epoch): Promise<void> {
    try {
      await this.#documents.write(LAYERS_DOCUMENT, encodeTree(tree), epoch);
    } catch (error) {
      if (!(error instanceof DocumentError)) throw error;
      // A minority may have it: the next activation finds out, and makes one of the two certain.
      if (this.#host.epoch === epoch) this.#host.reactivate(`the layers: ${error.message}`);
      throw new LayerError(
        'NOT_READY',
        `whether it was done is not known yet (${error.message}); list the snapshots when the volume serves again`,
      );
    }
    // A majority has it, so an activation that came in between has found it.
    if (this.#host.epoch === epoch) this.#tree = tree;
  }

  /** What was decided; who cannot follow leaves, and is made to when it comes back. */
  async #follow(members: readonly Member[], change: LayersChange): Promise<void> {
    await Promise.all(
      members.map((member) =>
        member.putLayers(change).catch((error: unknown) => dropUnlessLost(member, error)),
      ),
    );
  }

  /** While no I/O is under way, and none begins. */
  async #quiesced(
    { name, createdAt }: LayerPoint,
    work: (members: readonly Member[], deadlineMs: number) => Promise<void>,
  ): Promise<LayerOutcome> {
    const { resync, required: members, epoch } = this.#host;
    const { environment, locks, stream } = resync;
    // With this done there is little left to be flushed while everybody waits.
    stream.endTurn();
    await this.#flush(members);
    const startedMs = environment.now();
    const deadlineMs = startedMs + REPLICATOR_LIMITS.snapshotMs;
    const lock = await this.#holdIo();
    try {
      if (!this.#isSame(members, epoch)) throw this.#notReady();
      await work(members, deadlineMs);
    } finally {
      locks.release(lock);
    }
    return { name, createdAt, heldMs: environment.now() - startedMs };
  }

  /** Exclusive over the whole volume: what is under way ends first, what comes waits. */
  async #holdIo(): Promise<CallerLock> {
    const { locks } = this.#host.resync;
    let grant = (): void => undefined;
    const granted = new Promise<void>((resolve) => (grant = resolve));
    const lock = new CallerLock(
      // Not only its present size: it may grow meanwhile.
      { offsetBytes: 0, lengthBytes: MAX_VOLUME_BYTES, mode: 'exclusive' },
      grant,
    );
    if (locks.acquire(lock)) return lock;
    await this.#within(granted, REPLICATOR_LIMITS.snapshotMs);
    if (isHeld(lock)) return lock;
    locks.withdraw(lock);
    throw new LayerError(
      'NOT_READY',
      `I/O under way did not end within ${REPLICATOR_LIMITS.snapshotMs} ms; nothing was changed, try again`,
    );
  }

  async #flush(members: readonly Member[]): Promise<void> {
    try {
      await Promise.all(members.map((member) => member.flushed()));
    } catch (error) {
      if (!(error instanceof MemberError)) throw error;
      throw new LayerError('NOT_READY', `a flush failed: ${error.message}; try again`);
    }
  }

  /** Null: not in time. */
  async #within<T>(work: Promise<T>, limitMs: number): Promise<T | null> {
    let cancel = (): void => undefined;
    const late = new Promise<null>((resolve) => {
      cancel = this.#host.resync.environment.after(Math.max(0, limitMs), () => resolve(null));
    });
    const result = await Promise.race([work, late]);
    cancel();
    return result;
  }

  #require(): LayerTree {
    if (this.#tree === null || !this.#host.isSettled) throw this.#notReady();
    return this.#tree;
  }

  #notReady(): LayerError {
    return new LayerError(
      'NOT_READY',
      `the volume is not ready: waiting for ${this.#host.waitingFor}; try again when it is`,
    );
  }

  #isSame(members: readonly Member[], epoch: Epoch): boolean {
    const { required, isSettled } = this.#host;
    return (
      isSettled &&
      this.#host.epoch === epoch &&
      required.length === members.length &&
      members.every((member) => member.inSync && required.includes(member))
    );
  }

  #requireSame(members: readonly Member[]): void {
    if (!this.#isSame(members, this.#host.epoch)) throw this.#notReady();
  }

  /** One change after the other, and no resynchronisation beside it. */
  #alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (!SNAPSHOT_NAME.test(name)) {
      const rule = '1 to 63 lower-case letters, digits and hyphens, no hyphen at its ends';
      return Promise.reject(new LayerError('NAME', `a snapshot's name has ${rule}`));
    }
    const mine = this.#last.then(async () => {
      this.#host.pauseReturns();
      try {
        await this.#untilSettled();
        return await work();
      } finally {
        this.#host.resumeReturns();
      }
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** Members that are just joining, or whose removal is on its way. */
  async #untilSettled(): Promise<void> {
    const { environment } = this.#host.resync;
    const deadlineMs = environment.now() + REPLICATOR_LIMITS.settleMs;
    while (!this.#host.isSettled) {
      const leftMs = deadlineMs - environment.now();
      if (leftMs <= 0) throw this.#notReady();
      await this.#host.nextChange(Math.min(leftMs, POLL_MS));
    }
  }

  #log(fields: object, message: string): void {
    this.#host.resync.environment.log('info', fields, message);
  }
}

/** Asked anew after an await. */
const isHeld = (lock: CallerLock): boolean => lock.lockState === 'held';

/** A DNS label, as the names of volumes. */
const SNAPSHOT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const requireRoom = (tree: LayerTree): void => {
  if (snapshotsOf(tree).length < REPLICATOR_LIMITS.snapshots) return;
  throw new LayerError(
    'LIMIT',
    `the volume has ${REPLICATOR_LIMITS.snapshots} snapshots, the most that it can have; delete some first`,
  );
};

const absent = (name: string): LayerError =>
  new LayerError('NOT_FOUND', `there is no snapshot ${name}; list them`);

/** What the tree of a member is now is not known: it tells when it connects again. */
const dropUnlessLost = (member: Member, error: unknown): void => {
  if (!(error instanceof MemberError)) throw error;
  if (error.code !== 'LINK_CLOSED') {
    member.drop(`did not follow a change of the layers: ${error.message} (${error.code})`);
  }
};
