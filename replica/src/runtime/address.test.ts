import { expect } from 'chai';
import { AddressError, formatAddress, parseAddress } from './address.ts';

describe('addresses', () => {
  it('come back as they were written', () => {
    for (const text of [
      '127.0.0.1:9503',
      '[::1]:0',
      'replica-1.demo:65535',
      'unix:/run/a b.sock',
    ]) {
      expect(formatAddress(parseAddress(text))).to.equal(text);
    }
    expect(parseAddress('[fe80::1%eth0]:1')).to.deep.equal({
      kind: 'tcp',
      host: 'fe80::1%eth0',
      port: 1,
    });
  });

  it('say what is allowed where something else was typed', () => {
    for (const text of ['', ':9503', 'host', 'host:', 'host:65536', '::1:80', '[::1]', 'a b:1']) {
      expect(() => parseAddress(text), text).to.throw(AddressError, 'host:port');
    }
    expect(() => parseAddress('unix:relative')).to.throw(AddressError, 'absolute');
    expect(() => parseAddress(`unix:/${'x'.repeat(107)}`)).to.throw(AddressError, 'shorter');
  });
});
