import { expect } from 'chai';
import fc from 'fast-check';
import type { Socket } from 'node:net';
import { SLAB_BYTES } from '../limits.ts';
import type { Slab } from './outbox.ts';
import { Outbox } from './outbox.ts';

/**
 * Takes writes without copying, as a socket does, and looks at the bytes only when it lets them go.
 */
class LazySocket {
  readonly sent: Buffer[] = [];
  readonly #pending: { readonly bytes: Buffer; readonly done: () => void }[] = [];
  writes = 0;

  get writableLength(): number {
    return this.#pending.reduce((total, { bytes }) => total + bytes.length, 0);
  }

  write(bytes: Buffer, done: () => void): boolean {
    this.writes++;
    this.#pending.push({ bytes, done });
    return true;
  }

  cork(): void {
    // One write or many: the order is the same.
  }

  uncork(): void {
    // As above.
  }

  /** The oldest `count` writes have left. */
  let(count: number): void {
    for (const { bytes, done } of this.#pending.splice(0, count)) {
      this.sent.push(Buffer.from(bytes));
      done();
    }
  }
}

const make = (): { socket: LazySocket; outbox: Outbox } => {
  const socket = new LazySocket();
  return { socket, outbox: new Outbox(socket as unknown as Socket, () => undefined) };
};

const fill = (outbox: Outbox, bytes: number, value: number): number => {
  const at = outbox.reserve(bytes);
  outbox.slab.buffer.fill(value, at, at + bytes);
  return at;
};

describe('Outbox', () => {
  it('sends the responses of one turn in one write, in order', () => {
    const { socket, outbox } = make();
    for (let value = 1; value <= 5; value++) fill(outbox, 100, value);
    outbox.flush();
    outbox.flush();
    expect(socket.writes).to.equal(1);
    socket.let(1);
    expect([...Buffer.concat(socket.sent)].filter((_, at) => at % 100 === 0)).to.deep.equal([
      1, 2, 3, 4, 5,
    ]);
  });

  it('takes back a reservation, small or large', () => {
    const { socket, outbox } = make();
    fill(outbox, 10, 1);
    fill(outbox, 20, 2);
    outbox.unreserve(20);
    fill(outbox, SLAB_BYTES * 2, 3);
    outbox.unreserve(SLAB_BYTES * 2);
    fill(outbox, 5, 4);
    outbox.flush();
    socket.let(10);
    expect([...Buffer.concat(socket.sent)]).to.deep.equal([
      ...Array<number>(10).fill(1),
      4,
      4,
      4,
      4,
      4,
    ]);
    expect(outbox.queuedBytes).to.equal(0);
  });

  it('sends every frame once and unharmed, whatever is detached, taken back or slow', () => {
    const action = fc.oneof(
      fc.record({
        kind: fc.constantFrom('put' as const, 'detach' as const, 'unreserve' as const),
        bytes: fc.oneof(
          { weight: 5, arbitrary: fc.integer({ min: 1, max: 60_000 }) },
          { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 600_000 }) },
        ),
      }),
      fc.record({ kind: fc.constantFrom('attach' as const, 'abandon' as const) }),
      fc.record({ kind: fc.constant('flush' as const) }),
      fc.record({ kind: fc.constant('let' as const), count: fc.integer({ min: 1, max: 4 }) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const { socket, outbox } = make();
        const detached: { slab: Slab; at: number; bytes: number; value: number }[] = [];
        const expected: { bytes: number; value: number }[] = [];
        let value = 0;
        const attach = (): void => {
          const region = detached.shift();
          if (region === undefined) return;
          region.slab.buffer.fill(region.value, region.at, region.at + region.bytes);
          outbox.attach(region.slab, region.at, region.bytes);
          expected.push(region);
        };
        for (const each of actions) {
          switch (each.kind) {
            case 'put':
              value = (value % 250) + 1;
              fill(outbox, each.bytes, value);
              expected.push({ bytes: each.bytes, value });
              break;
            case 'unreserve':
              fill(outbox, each.bytes, 255);
              outbox.unreserve(each.bytes);
              break;
            case 'detach': {
              value = (value % 250) + 1;
              const at = outbox.reserve(each.bytes);
              detached.push({ slab: outbox.slab, at, bytes: each.bytes, value });
              outbox.detach(each.bytes);
              break;
            }
            case 'attach':
              attach();
              break;
            case 'abandon': {
              const region = detached.shift();
              if (region !== undefined) outbox.abandon(region.slab, region.bytes);
              break;
            }
            case 'flush':
              outbox.flush();
              break;
            case 'let':
              socket.let(each.count);
          }
        }
        while (detached.length > 0) attach();
        outbox.flush();
        socket.let(Infinity);
        const sent = Buffer.concat(socket.sent);
        let at = 0;
        for (const frame of expected) {
          const seen = sent.subarray(at, at + frame.bytes);
          expect(seen.equals(Buffer.alloc(frame.bytes, frame.value))).to.equal(true);
          at += frame.bytes;
        }
        expect(at).to.equal(sent.length);
        expect(outbox.queuedBytes).to.equal(0);
      }),
      { numRuns: 150 },
    );
  });
});
