import { ProtocolError } from '@openebs/replica/protocol';
import type { Answer, ReadRequest, RequestFailure } from './link.ts';

type AnswerKind = 'done' | 'pong' | 'status' | 'document' | 'bitmap' | 'checksums' | 'versions';
interface Waiting {
  readonly kind: AnswerKind;
  readonly answer: Answer;
}

/**
 * Requests of one connection that wait for their answers. Reads are kept by slot, so that a read
 * costs no object but itself; their ids are even and the others' odd. The second bit of a read's id
 * says that the replica was asked to check what it reads.
 */
export class RequestTable {
  readonly #reads: (ReadRequest | null)[] = [];
  readonly #freeReads: number[] = [];
  /** By slot: how often tick() has met the read. */
  readonly #readTicks: number[] = [];
  readonly #others = new Map<number, Waiting>();
  #nextOther = 1;
  #closed: RequestFailure | null = null;

  addRead(request: ReadRequest, checked: boolean): number {
    const slot = this.#freeReads.pop() ?? this.#reads.length;
    this.#reads[slot] = request;
    this.#readTicks[slot] = 0;
    return slot * 4 + (checked ? 2 : 0);
  }

  takeRead(id: number): ReadRequest {
    const slot = id >>> 2;
    const request = id % 2 === 0 ? this.#reads[slot] : undefined;
    if (request === undefined || request === null) throw unknown('data', id);
    this.#reads[slot] = null;
    this.#freeReads.push(slot);
    return request;
  }

  wasChecked(id: number): boolean {
    return (id & 2) !== 0;
  }

  /** Once a second. How many seconds the read has been waiting that has waited longest. */
  tick(): number {
    let longest = 0;
    for (let slot = 0; slot < this.#reads.length; slot++) {
      if (this.#reads[slot] === null) continue;
      const ticks = (this.#readTicks[slot] ?? 0) + 1;
      this.#readTicks[slot] = ticks;
      if (ticks > longest) longest = ticks;
    }
    return longest;
  }

  add(kind: AnswerKind, answer: Answer): number {
    if (this.#closed !== null) throw new TypeError('a request on a closed link');
    const id = this.#nextOther;
    this.#nextOther = (this.#nextOther + 2) % 0x1_0000_0000;
    this.#others.set(id, { kind, answer });
    return id;
  }

  take(id: number, kind: AnswerKind): Answer {
    const waiting = this.#others.get(id);
    if (waiting?.kind !== kind) throw unknown(kind, id);
    this.#others.delete(id);
    return waiting.answer;
  }

  fail(id: number, failure: RequestFailure): void {
    if (id % 2 === 0) {
      this.takeRead(id).readFailed(failure);
      return;
    }
    const waiting = this.#others.get(id);
    if (waiting === undefined) throw unknown('failed-request', id);
    this.#others.delete(id);
    waiting.answer(failure, null);
  }

  failAll(failure: RequestFailure): void {
    this.#closed = failure;
    const reads = this.#reads.splice(0);
    const others = [...this.#others.values()];
    this.#others.clear();
    for (const read of reads) read?.readFailed(failure);
    for (const { answer } of others) answer(failure, null);
  }
}

const unknown = (kind: string, id: number): ProtocolError =>
  new ProtocolError('UNEXPECTED_KIND', `${kind} for request ${id}, which is not under way`);
