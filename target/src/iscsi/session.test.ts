import { expect } from 'chai';
import fc from 'fast-check';
import { LIMITS } from '../limits.ts';
import type { Connection } from './connection.ts';
import { defaultParameters } from './login/keys.ts';
import { Session } from './session.ts';

const session = (cmdSn: number): Session =>
  new Session({
    nexus: { id: 1, initiatorName: 'iqn.x:y', isid: '000000000001', portalGroupTag: 1 },
    tsih: 1,
    discovery: false,
    parameters: defaultParameters(8192),
    connection: null as unknown as Connection,
    cmdSn,
    nowMs: 0,
  });

describe('command window', () => {
  it('takes ExpCmdSN, keeps what is early, and ignores the rest, across the wrap', () => {
    const window = LIMITS.commandsInFlight;
    for (const start of [0, 100, 0xffffffff, 0xffffffff - 5]) {
      const at = (offset: number): number => (start + offset) >>> 0;
      const { place } = { place: (sn: number) => session(start).place(sn) };
      expect(place(at(0))).to.equal('next');
      expect(place(at(1))).to.equal('early');
      expect(place(at(window - 1))).to.equal('early');
      expect(place(at(window))).to.equal('outside');
      expect(place(at(-1))).to.equal('outside');
      expect(place(at(0x80000000))).to.equal('outside');
    }
  });

  it('never holds more commands than its width, and MaxCmdSN never goes back', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.array(fc.boolean()), (start, steps) => {
        const each = session(start);
        let inFlight = 0;
        let opened = (each.maxCmdSn - start) >>> 0;
        for (const arrives of steps) {
          if (arrives) {
            if (each.place(each.expCmdSn) !== 'next') continue;
            each.accept();
            inFlight++;
          } else if (inFlight > 0) {
            each.openWindow();
            inFlight--;
          }
          expect(inFlight).to.be.at.most(LIMITS.commandsInFlight);
          const now = (each.maxCmdSn - start) >>> 0;
          expect(now).to.be.at.least(opened);
          opened = now;
        }
      }),
    );
  });
});
