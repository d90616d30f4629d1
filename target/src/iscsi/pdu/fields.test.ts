import { expect } from 'chai';
import * as fields from './fields.ts';

describe('PDU field tables', () => {
  for (const [name, value] of Object.entries(fields)) {
    if (!name.endsWith('Fields')) continue;
    it(`${name} covers the 48 bytes of the header, each byte once`, () => {
      const owners = new Array<string | null>(fields.BHS_BYTES).fill(null);
      for (const [field, [offset, bytes]] of Object.entries(value as fields.FieldTable)) {
        for (let at = offset; at < offset + bytes; at++) {
          expect(owners[at], `byte ${at} of ${name} (${field})`).to.equal(null);
          owners[at] = field;
        }
      }
      expect(owners.filter((owner) => owner === null)).to.deep.equal([]);
    });
  }
});
