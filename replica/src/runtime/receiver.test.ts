import { expect } from 'chai';
import fc from 'fast-check';
import net from 'node:net';
import { once } from 'node:events';
import { Receiver } from './receiver.ts';
import type { Slab } from './slab-pool.ts';
import { SlabPool } from './slab-pool.ts';

/** Frames for these tests: u32 length, then that many bytes. */
const collect = (into: Buffer[], receiver: () => Receiver) => {
  return (buffer: Buffer, start: number, end: number): number => {
    let at = start;
    while (end - at >= 4 && !receiver().paused) {
      const length = buffer.readUInt32LE(at);
      if (end - at < 4 + length) {
        receiver().reserve(4 + length);
        break;
      }
      into.push(Buffer.from(buffer.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    return at;
  };
};

const frame = (length: number, fill: number): Buffer => {
  const bytes = Buffer.alloc(4 + length, fill);
  bytes.writeUInt32LE(length, 0);
  return bytes;
};

const make = (): { receiver: Receiver; frames: Buffer[] } => {
  const frames: Buffer[] = [];
  const receiver: Receiver = new Receiver(collect(frames, () => receiver));
  return { receiver, frames };
};

describe('Receiver', () => {
  it('shows the same frames however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 300_000 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 8 }),
        (lengths, cuts) => {
          const { receiver, frames } = make();
          const stream = Buffer.concat(lengths.map((length, index) => frame(length, index + 1)));
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const take = cuts[turn % cuts.length]!;
            receiver.feed(stream.subarray(at, at + take));
            at += take;
          }
          expect(frames.map((each) => each.length)).to.deep.equal(lengths);
          frames.forEach((each, index) => {
            expect(each.equals(Buffer.alloc(each.length, index + 1))).to.equal(true);
          });
        },
      ),
      { numRuns: 30 },
    );
  });

  it('keeps what it has while paused and goes on where it stopped', () => {
    const { receiver, frames } = make();
    receiver.feed(frame(10, 1));
    receiver.pause();
    receiver.feed(frame(20, 2));
    receiver.feed(frame(30, 3));
    expect(frames).to.have.length(1);
    receiver.resume();
    expect(frames.map((each) => each.length)).to.deep.equal([10, 20, 30]);
  });

  it('goes on when it is resumed from inside of consume', () => {
    const lengths: number[] = [];
    const receiver: Receiver = new Receiver((buffer, start, end) => {
      let at = start;
      while (end - at >= 4 && !receiver.paused) {
        const length = buffer.readUInt32LE(at);
        if (end - at < 4 + length) break;
        lengths.push(length);
        at += 4 + length;
        receiver.pause();
      }
      if (lengths.length < 3) receiver.resume();
      return at;
    });
    receiver.feed(Buffer.concat([frame(1, 1), frame(2, 2), frame(3, 3), frame(4, 4)]));
    expect(lengths).to.deep.equal([1, 2, 3]);
    receiver.resume();
    expect(lengths).to.deep.equal([1, 2, 3, 4]);
  });

  it('loses nothing when it is resumed between two reads of a socket', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 3, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
        (lengths, pauses) => {
          const seen: number[] = [];
          let untilPause = pauses[0]!;
          const receiver: Receiver = new Receiver((buffer, start, end) => {
            let at = start;
            while (end - at >= 4 && !receiver.paused) {
              const length = buffer.readUInt32LE(at);
              if (end - at < 4 + length) {
                receiver.reserve(4 + length);
                break;
              }
              seen.push(length);
              at += 4 + length;
              if (--untilPause > 0) continue;
              receiver.pause();
              untilPause = pauses[seen.length % pauses.length]!;
            }
            return at;
          });
          // As net.Socket does it: the place of the next read is asked for right after a read.
          const { buffer, callback } = receiver.onread;
          let space = buffer();
          const arrive = (bytes: Buffer): void => {
            for (let at = 0; at < bytes.length;) {
              while (receiver.paused) receiver.resume();
              const take = Math.min(space.length, bytes.length - at);
              bytes.copy(space, 0, at, at + take);
              at += take;
              callback(take);
              space = buffer();
            }
          };
          // Several frames arrive together, so that a pause leaves whole ones behind.
          for (let at = 0; at < lengths.length; at += 3) {
            arrive(Buffer.concat(lengths.slice(at, at + 3).map((length) => frame(length, 1))));
          }
          while (receiver.paused) receiver.resume();
          expect(seen).to.deep.equal(lengths);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('writes over no slab that somebody holds, and shows every frame all the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 150_000 }), { minLength: 1, maxLength: 25 }),
        // How much arrives at a time; 0: up to the end of the next frame. Not byte by byte: all
        // that is held is compared after each.
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 10_000, max: 300_000 })), {
          minLength: 1,
          maxLength: 8,
        }),
        // For each frame: how many later frames come before it is released; 0: it is not held.
        fc.array(fc.nat(9), { minLength: 1, maxLength: 7 }),
        (lengths, cuts, patience) => {
          const pool = new SlabPool(2 ** 22);
          const held: { until: number; bytes: Buffer; fill: number; slab: Slab }[] = [];
          let seen = 0;
          const intact = (): void => {
            for (const { bytes, fill } of held) {
              expect(bytes.equals(Buffer.alloc(bytes.length, fill))).to.equal(true);
            }
          };
          const receiver: Receiver = new Receiver((buffer, start, end) => {
            let at = start;
            while (end - at >= 4) {
              const length = buffer.readUInt32LE(at);
              if (end - at < 4 + length) {
                receiver.reserve(4 + length);
                break;
              }
              const bytes = buffer.subarray(at + 4, at + 4 + length);
              const fill = (seen % 250) + 1;
              expect(bytes.length).to.equal(lengths[seen]);
              const wait = patience[seen % patience.length]!;
              if (wait > 0) {
                receiver.slab.hold();
                held.push({ until: seen + wait, bytes, fill, slab: receiver.slab });
              }
              at += 4 + length;
              seen++;
              for (const each of held.filter(({ until }) => until <= seen)) {
                held.splice(held.indexOf(each), 1);
                each.slab.release();
              }
            }
            return at;
          }, pool);
          const stream = Buffer.concat(
            lengths.map((length, index) => frame(length, (index % 250) + 1)),
          );
          const ends: number[] = [];
          for (const length of lengths) ends.push((ends.at(-1) ?? 0) + 4 + length);
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const untilEnd = ends.find((end) => end > at)! - at;
            const cut = cuts[turn % cuts.length]!;
            const take = cut === 0 ? untilEnd : cut;
            receiver.feed(stream.subarray(at, at + take));
            at += take;
            intact();
          }
          expect(seen).to.equal(lengths.length);
          for (const { slab } of held) slab.release();
        },
      ),
      { numRuns: 30 },
    );
  });

  for (const side of ['accepted', 'dialled'] as const) {
    it(`receives frames larger than its buffer from a socket it ${side}, and its end`, async () => {
      const { receiver, frames } = make();
      const server = net.createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as net.AddressInfo;
      const accepted = once(server, 'connection') as Promise<[net.Socket]>;
      const client =
        side === 'dialled'
          ? net.connect({ port, host: '127.0.0.1', onread: receiver.onread })
          : net.connect({ port, host: '127.0.0.1' });
      if (side === 'dialled') receiver.attach(client);
      const [raw] = await accepted;
      const [receiving, sending] =
        side === 'accepted' ? [receiver.adopt(raw), client] : [client, raw];
      const ended = once(receiving, 'end');
      for (let index = 1; index <= 5; index++) sending.write(frame(700_000 * index, index));
      sending.end(frame(7, 7));
      await ended;
      expect(frames.map((each) => each.length)).to.deep.equal([
        700_000, 1_400_000, 2_100_000, 2_800_000, 3_500_000, 7,
      ]);
      receiving.destroy();
      sending.destroy();
      server.close();
    });
  }
});
