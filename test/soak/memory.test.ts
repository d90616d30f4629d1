/**
 * Goal: the memory of a daemon follows from what it has under way, not from what it has been
 * through, and comes back when nobody uses it.
 * Method: a minute of changing load on three replica processes, all daemons sampled once a second.
 */
import { expect } from 'chai';
import { temporaryDirectory } from '../support/daemons.ts';
import { formatDaemon, IDLE_CAP_BYTES, judge, LOADED_CAP_BYTES, soak } from './run.ts';

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

  it('is found too large where it is', () => {
    const flat = [90, 100, 100, 100].map((mib) => [mib * MIB]);
    const growing = [90, 100, 105, 109].map((mib) => [mib * MIB]);
    const idle = 50 * MIB;
    expect(judge('target', idle, flat, idle).problems).to.deep.equal([]);
    expect(judge('target', idle, growing, idle).problems).to.deep.equal(['it grows']);
    expect(judge('replica 1', idle, flat, idle).problems).to.deep.equal([
      `above ${LOADED_CAP_BYTES.replica / MIB}.0 MiB under load`,
    ]);
    expect(judge('target', IDLE_CAP_BYTES + 1, flat, IDLE_CAP_BYTES + 1).problems).to.deep.equal([
      'too large before the load',
      'too large after the load',
    ]);
  });
});
