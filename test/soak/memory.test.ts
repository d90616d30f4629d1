/**
 * Goal: the memory of a daemon follows from what it has under way, not from what it has been
 * through, and comes back when nobody uses it.
 * Method: a minute of changing load on three replica processes, all daemons sampled once a second.
 */
import { expect } from 'chai';
import { temporaryDirectory } from '../support/daemons.ts';
import { formatDaemon, soak } from './run.ts';

const MIB = 1024 * 1024;

describe('memory', () => {
  it('is bounded under load, does not grow, and comes back at rest', async function () {
    this.timeout(240_000);
    const directory = temporaryDirectory();
    try {
      const daemons = await soak({
        directory: directory.path,
        seconds: 60,
        workingSetBytes: 256 * MIB,
        say: () => undefined,
      });
      expect(daemons).to.have.length(4);
      for (const daemon of daemons) expect(daemon.problems, formatDaemon(daemon)).to.deep.equal([]);
    } finally {
      directory.remove();
    }
  });
});
