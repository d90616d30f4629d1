import { EMPTY } from '../crash/register-checker.ts';
import { fillSectors, readStamps } from '../crash/sector.ts';
import type { VolumeError, VolumeErrorCode, VolumeIo } from '../../target/src/volume.ts';
import type { Cluster } from './cluster.ts';
import type { Access } from './history.ts';
import { ATOMIC_READ } from './plan.ts';
import type { SimulatedTarget } from './target.ts';
import { Violation } from './world.ts';

const SECTOR = 512;
const BLOCK = 4096;
const RECONNECT_MS = 50;
const MAX_IN_FLIGHT = 24;

export interface Order {
  readonly operation: 'read' | 'write' | 'write-atomic' | 'unmap' | 'flush';
  readonly sector: number;
  readonly count: number;
}

/** LOST: the session ended before the answer. */
type Done = (outcome: VolumeErrorCode | 'GOOD' | 'LOST') => void;

interface UnderWay {
  readonly order: Order;
  readonly access: Access | null;
  readonly flushStart: number;
  readonly done: Done | undefined;
}

/**
 * Submits operations to one target as long as that lives, and checks each answer when it comes. The
 * network between them is not simulated: an answer is checked in the moment in which it is given.
 */
export class Initiator {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #underWay = new Set<UnderWay>();
  #target: SimulatedTarget | null = null;
  #connecting = false;
  refused = 0;

  constructor(index: number, cluster: Cluster) {
    this.name = `host-${index}`;
    this.#cluster = cluster;
    // Every other one comes over to a new target although the old one lives.
    if (index % 2 === 0) cluster.onReady((target) => this.#moveTo(target));
  }

  get inFlight(): number {
    return this.#underWay.size;
  }

  get target(): SimulatedTarget | null {
    return this.#target;
  }

  /** False when there is no target, or enough is under way. */
  submit(order: Order, done?: Done): boolean {
    const target = this.#connected();
    if (target === null || this.#underWay.size >= MAX_IN_FLIGHT || this.#cluster.frozen)
      return false;
    if ((order.sector + order.count) * SECTOR > target.replicator.sizeBytes) return false;
    const { history, world } = this.#cluster;
    let { operation } = order;
    let access: Access | null = null;
    if (operation === 'unmap') {
      access = history.startUnmap(order.sector, order.count);
      if (access === null) operation = 'write';
    }
    const writes = operation === 'write' || operation === 'write-atomic';
    if (writes) access = history.startWrite(order.sector, order.count);
    if (operation === 'read') access = history.startRead(order.sector, order.count);
    const flushStart = operation === 'flush' ? history.startFlush() : 0;
    const chunks = writes && access !== null ? this.#payload(access) : [];
    const underWay: UnderWay = { order: { ...order, operation }, access, flushStart, done };
    this.#underWay.add(underWay);
    world.note(this.name, () => `${target.name}: ${describeOrder(underWay)}`);
    const io: VolumeIo = {
      kind: operation,
      offsetBytes: order.sector * SECTOR,
      lengthBytes: operation === 'flush' ? 0 : order.count * SECTOR,
      chunks,
      loan: null,
      lock: null,
      done: (error) => this.#answered(target, underWay, io, error),
    };
    target.process.run(() => {
      target.replicator.submit(io);
      // Lent until submit() returns.
      for (const chunk of chunks) chunk.fill(0xee);
    });
    return true;
  }

  #payload(access: Access): Buffer[] {
    const bytes = Buffer.allocUnsafeSlow(access.count * SECTOR);
    fillSectors(bytes, access.sector, access.stamp);
    if (bytes.length < 2 * BLOCK || access.stamp % 3 !== 0) return [bytes];
    const cut = BLOCK + (access.stamp % 5) * 100;
    return [bytes.subarray(0, cut), bytes.subarray(cut)];
  }

  #answered(
    target: SimulatedTarget,
    underWay: UnderWay,
    io: VolumeIo,
    error: VolumeError | null,
  ): void {
    // Nobody hears a process that has ended, or whose session has.
    if (!target.alive || !this.#underWay.delete(underWay)) return;
    const { history, world } = this.#cluster;
    const { access, order } = underWay;
    if (world.traced) {
      const result = error === null ? this.#described(order, io) : `${error.code} ${error.message}`;
      world.note(this.name, `${target.name}: ${describeOrder(underWay)}: ${result}`);
    }
    if (error !== null) {
      this.refused++;
      this.#failed(target, underWay, error);
    } else if (order.operation === 'read') {
      const stamps = this.#stamps(order, joined(io.chunks));
      history.finishRead(access!, stamps, target !== this.#cluster.newest);
      this.#keep(order, io);
    } else {
      this.#cluster.acknowledgedTo(target);
      if (order.operation === 'flush') history.finishFlush(underWay.flushStart);
      else history.finishWrite(access!);
    }
    underWay.done?.(error?.code ?? 'GOOD');
  }

  /** As while a response leaves: what was lent must not change until it is given back. */
  #keep(order: Order, io: VolumeIo): void {
    const { loan, chunks } = io;
    if (loan === null) return;
    const before = Buffer.allocUnsafeSlow(io.lengthBytes);
    joined(chunks).copy(before);
    this.#cluster.world.after(before.readUInt32LE(0) % 4, () => {
      if (!joined(chunks).equals(before)) {
        throw new Violation('I6', `the memory of ${order.sector} changed while it was lent`);
      }
      loan.release();
    });
  }

  #stamps(order: Order, data: Buffer): number[] {
    try {
      const stamps = readStamps(data, order.sector);
      if (order.sector === ATOMIC_READ.sector && new Set(stamps).size > 1) {
        throw new RangeError(`an atomic write is there in part: ${stamps.join()}`);
      }
      return stamps;
    } catch (error) {
      const rotten = blocksOf(order).some((block) => this.#cluster.rot.blocks.has(block));
      throw new Violation(rotten ? 'I9' : 'I6', (error as Error).message);
    }
  }

  #failed(target: SimulatedTarget, { access, order }: UnderWay, error: VolumeError): void {
    const { history } = this.#cluster;
    switch (error.code) {
      case 'FENCED':
        if (access === null) return;
        history.abandon(access, true);
        this.#cluster.unsettled(access, target);
        return;
      case 'NOT_READY':
      case 'NO_SPACE':
        if (access !== null) history.abandon(access, false);
        return;
      case 'MEDIUM_ERROR':
      case 'WRITE_MEDIUM_ERROR': {
        if (access !== null) history.abandon(access, false);
        if (blocksOf(order).some((block) => this.#cluster.rot.blocks.has(block))) return;
        throw new Violation('I9', `${describeOrder({ order, access })} met ${error.message}`);
      }
      default:
        throw new Violation('I11', `an operation ended with ${error.code}: ${error.message}`);
    }
  }

  #connected(): SimulatedTarget | null {
    if (this.#target?.alive === true) return this.#target;
    if (this.#target !== null) this.#sessionEnded();
    if (!this.#connecting) {
      const { serving } = this.#cluster;
      if (serving !== null) this.#connect(serving);
    }
    return null;
  }

  #connect(target: SimulatedTarget): void {
    this.#connecting = true;
    this.#cluster.world.after(RECONNECT_MS, () => {
      this.#connecting = false;
      if (!target.ready || this.#target !== null) return;
      this.#target = target;
      target.onExit(() => {
        if (this.#target === target) this.#sessionEnded();
      });
    });
  }

  #moveTo(target: SimulatedTarget): void {
    if (this.#target === null || this.#target === target) return;
    this.#sessionEnded();
    this.#connect(target);
  }

  /** What was under way may have happened or not, or still happen. */
  #sessionEnded(): void {
    const target = this.#target;
    this.#target = null;
    if (target === null) return;
    for (const { access } of this.#underWay) {
      if (access !== null) {
        this.#cluster.history.abandon(access, true);
        this.#cluster.unsettled(access, target);
      }
    }
    const lost = [...this.#underWay];
    this.#underWay.clear();
    for (const { done } of lost) done?.('LOST');
  }

  #described(order: Order, io: VolumeIo): string {
    if (order.operation !== 'read') return 'done';
    const data = joined(io.chunks);
    const stamps: number[] = [];
    for (let at = 0; at < data.length; at += SECTOR) stamps.push(data.readUInt32LE(at));
    return stamps.join(' ');
  }
}

/** Mostly there is one: then nothing is copied. */
const joined = (chunks: readonly Uint8Array[]): Buffer => {
  const [first] = chunks;
  return chunks.length === 1 && Buffer.isBuffer(first) ? first : Buffer.concat(chunks);
};

const blocksOf = ({ sector, count }: Order): number[] => {
  const first = Math.floor((sector * SECTOR) / BLOCK);
  const last = Math.floor(((sector + count) * SECTOR - 1) / BLOCK);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
};

/** Past all initiators and their history. The stamps, or why there are none. */
export const readSectors = (
  { process, replicator }: SimulatedTarget,
  sector: number,
  count: number,
  done: (stamps: readonly number[] | VolumeError) => void,
): void => {
  const io: VolumeIo = {
    kind: 'read',
    offsetBytes: sector * SECTOR,
    lengthBytes: count * SECTOR,
    chunks: [],
    loan: null,
    lock: null,
    done: (error) => {
      if (error === null) done(readStamps(joined(io.chunks), sector));
      else done(error);
      io.loan?.release();
    },
  };
  process.run(() => replicator.submit(io));
};

const describeOrder = ({ order, access }: Pick<UnderWay, 'order' | 'access'>): string => {
  const { operation, sector, count } = order;
  if (operation === 'flush') return 'flush';
  const stamp = operation === 'write' ? ` ${access?.stamp ?? EMPTY}` : '';
  return `${operation}${stamp} [${sector}, ${sector + count})`;
};
