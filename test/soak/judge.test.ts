import { expect } from 'chai';
import { IDLE_CAP_BYTES, judge, LOADED_CAP_BYTES } from './run.ts';

const MIB = 1024 * 1024;

describe('the memory of a daemon', () => {
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
