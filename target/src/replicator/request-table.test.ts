import { expect } from 'chai';
import type { ReadRequest } from './link.ts';
import { RequestTable } from './request-table.ts';

const request = (): ReadRequest => ({
  offsetBytes: 0,
  lengthBytes: 4096,
  readDone: () => undefined,
  readFailed: () => undefined,
});

describe('the requests of a connection', () => {
  it('tell how long the oldest read has been waiting, whatever was answered meanwhile', () => {
    const table = new RequestTable();
    expect(table.tick()).to.equal(0);
    table.takeRead(table.addRead(request(), false));
    const oldest = table.addRead(request(), false);
    for (let second = 1; second <= 3; second++) {
      table.takeRead(table.addRead(request(), false));
      const other = table.addRead(request(), false);
      expect(table.tick()).to.equal(second);
      table.takeRead(other);
    }
    table.takeRead(oldest);
    expect(table.tick()).to.equal(0);
    // The same place, another read.
    table.addRead(request(), false);
    expect(table.tick()).to.equal(1);
  });
});
