import { expect } from 'chai';
import fc from 'fast-check';
import { createMemoryVolume } from '../memory-volume.ts';
import { ScsiDeviceServer } from '../scsi/device-server.ts';
import { TestTarget, write10 } from './initiator.test-support.ts';
import { Opcode } from './pdu/fields.ts';
import { Throttle, type Throttled } from './throttle.ts';

const KIB = 1024;
const QUIET = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
};

class Connection implements Throttled {
  stopped = false;
  stopReading(): void {
    this.stopped = true;
  }
  readOn(): void {
    this.stopped = false;
  }
}

const makeDevice = () => {
  const volume = createMemoryVolume(4 * KIB * KIB);
  const options = { volume, iqn: 'iqn.2016-09.com.openebs:x', productRevision: '0001', log: QUIET };
  return { volume, device: new ScsiDeviceServer(options) };
};

describe('Throttle', () => {
  it('stops who sends above the limit, and nobody stays stopped when all has ended', () => {
    const step = fc.record({ by: fc.nat(2), bytes: fc.integer({ min: -600, max: 600 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { volume, device } = makeDevice();
        const throttle = new Throttle(device, 1000);
        const connections = [new Connection(), new Connection(), new Connection()];
        for (const { by, bytes } of steps) {
          const connection = connections[by]!;
          if (bytes > 0 && !connection.stopped) {
            volume.bytesInFlight += bytes;
            throttle.check(connection);
            expect(connection.stopped).to.equal(volume.bytesInFlight > 1000);
          } else {
            volume.bytesInFlight = Math.max(0, volume.bytesInFlight - Math.abs(bytes));
            throttle.ease();
          }
          for (const each of connections) expect(throttle.stops(each)).to.equal(each.stopped);
          if (volume.bytesInFlight <= 500) {
            throttle.ease();
            expect(connections.some(({ stopped }) => stopped)).to.equal(false);
          }
        }
      }),
    );
  });

  it('forgets a connection that has ended', () => {
    const { volume, device } = makeDevice();
    const throttle = new Throttle(device, 1000);
    const connection = new Connection();
    volume.bytesInFlight = 2000;
    throttle.check(connection);
    throttle.forget(connection);
    volume.bytesInFlight = 0;
    throttle.ease();
    expect(connection.stopped).to.equal(true);
  });

  it('lets no session bring the volume far above its limit, and completes every write', async () => {
    const target = await TestTarget.start({ bytesInFlight: 64 * KIB });
    try {
      const keys = ['InitialR2T=No', 'ImmediateData=Yes', 'FirstBurstLength=65536'];
      const initiators = [await target.login(...keys)];
      const second = await target.connect();
      await second.login(keys, { isid: 2 });
      await second.command({ cdb: [0] });
      initiators.push(second);
      target.volume.deferred = true;
      const data = Buffer.alloc(8 * KIB, 5);
      const each = 60;
      for (const initiator of initiators) {
        for (let index = 0; index < each; index += 1) {
          initiator.sendCommand({ cdb: write10(16 * index, 16), write: data.length, data });
        }
      }
      // What one read of each socket brings may lie above the limit, and no more.
      let completed = 0;
      const answered = initiators.map(async (initiator) => {
        for (let index = 0; index < each; index += 1) {
          await initiator.expect(Opcode.scsiResponse);
          completed += 1;
        }
      });
      let most = 0;
      while (completed < initiators.length * each) {
        most = Math.max(most, target.volume.bytesInFlight);
        target.volume.step();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(answered);
      expect(most).to.be.greaterThan(64 * KIB);
      expect(most).to.be.at.most(64 * KIB + 2 * 256 * KIB);
      expect(target.volume.bytesInFlight).to.equal(0);
    } finally {
      await target.stop();
    }
  });
});
