/**
 * Goal: a disk that loses one single read holds nobody up for longer than one that stands still.
 * Method: a simulated replica that never answers one read, and many others meanwhile.
 */
import { expect } from 'chai';
import { operation, Simulation } from './simulation.test-support.ts';

const MIB = 1024 * 1024;

describe('a single read that hangs', () => {
  it('is answered elsewhere though others of that replica are answered', async () => {
    const simulation = new Simulation(5, { replicas: 3, sizeBytes: MIB });
    for (const replica of simulation.replicas) await replica.start();
    const target = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
    const good = Buffer.alloc(4096, 0x5a);
    let written = false;
    target.replicator.submit(operation('write', 0, 4096, [good], () => (written = true)));
    expect(await simulation.runUntil(() => written, 10_000)).to.equal(true);
    simulation.replicas[1]!.hangingReads = 1;
    const startedMs = simulation.now;
    let longestMs = 0;
    let waiting = 0;
    const read = (): void => {
      const begunMs = simulation.now;
      waiting++;
      target.replicator.submit(
        operation('read', 0, 4096, [Buffer.alloc(4096)], (error, io) => {
          waiting--;
          longestMs = Math.max(longestMs, simulation.now - begunMs);
          expect(error).to.equal(null);
          expect(Buffer.concat(io.chunks).equals(good)).to.equal(true);
        }),
      );
    };
    // Enough of them that each replica answers some every second.
    while (simulation.now - startedMs < 15_000) {
      for (let count = 0; count < 64; count++) read();
      const nextMs = simulation.now + 200;
      await simulation.runUntil(() => simulation.now >= nextMs, 1_000);
    }
    expect(await simulation.runUntil(() => waiting === 0, 1_000)).to.equal(true);
    expect(longestMs).to.be.within(9_000, 12_000);
    expect(simulation.log.join('\n')).to.include('has not answered a read for 10 s');
    expect(await simulation.runUntil(() => simulation.healthy(target), 20_000)).to.equal(true);
  });
});
