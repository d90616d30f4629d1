import { expect } from 'chai';
import { CHAP_ALGORITHMS, ChapExchange, chapResponse, type ChapSettings } from './chap.ts';

const SECRET = 'correct horse battery';
const CHALLENGE = Uint8Array.of(0, 1, 2, 3, 0xfe, 0xff);

/** Computed with `openssl dgst` over the identifier 17h, the secret and the challenge. */
const VECTORS: Readonly<Record<string, string>> = {
  '5': '4c8c66818304f14f16f752cfbc993434',
  '6': '6b0fcf8451f8967bf7707a260c0ed082ede9df64',
  '7': '49985adefc55887c6c6f500ef8773f688f1b3a391ee48f0c5919de27b1ba54cf',
  '8': '54f2ce6be44ffa15ff4d9e3fc0c20c1f822a9ed3b6512d42c351ee8f28a90962',
};

const SETTINGS: ChapSettings = {
  initiator: { user: 'alice', secret: SECRET },
  target: { user: 'volume', secret: 'another long secret' },
};

/** Gives 17h as identifier and 17h17h... as challenge. */
const begin = (settings = SETTINGS, algorithms = '7,5') => {
  const exchange = new ChapExchange(settings, (bytes) => new Uint8Array(bytes).fill(0x17));
  const outcome = exchange.step(new Map([['CHAP_A', algorithms]]));
  if (outcome.kind === 'failed') return { exchange, outcome, answers: new Map<string, string>() };
  const answers = new Map(outcome.pairs.map(({ key, value }) => [key, value]));
  return { exchange, outcome, answers };
};

const OURS = new Uint8Array(32).fill(0x17);
const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;
const proof = (secret = SECRET): string => hex(chapResponse('sha256', 0x17, secret, OURS));
const keys = (values: Record<string, string>) => new Map(Object.entries(values));

describe('CHAP', () => {
  for (const [number, expected] of Object.entries(VECTORS)) {
    it(`computes algorithm ${number} as openssl does`, () => {
      const response = chapResponse(CHAP_ALGORITHMS.get(number)!, 0x17, SECRET, CHALLENGE);
      expect(Buffer.from(response).toString('hex')).to.equal(expected);
    });
  }

  it('takes the first algorithm of the initiator that it knows', () => {
    expect(begin(SETTINGS, '99,8,7').answers.get('CHAP_A')).to.equal('8');
    expect(begin(SETTINGS, '5').answers.get('CHAP_A')).to.equal('5');
    expect(begin(SETTINGS, '1,2').outcome.kind).to.equal('failed');
  });

  it('accepts the right response in hexadecimal and in base64', () => {
    const base64 = `0b${Buffer.from(proof().slice(2), 'hex').toString('base64')}`;
    for (const response of [proof(), proof().toUpperCase().replace('0X', '0x'), base64]) {
      const { exchange } = begin();
      const outcome = exchange.step(keys({ CHAP_N: 'alice', CHAP_R: response }));
      expect(outcome).to.deep.equal({ kind: 'answer', pairs: [] });
      expect(exchange.done).to.equal(true);
    }
  });

  it('refuses a wrong name, a wrong secret, a short response and none at all', () => {
    for (const given of [
      { CHAP_N: 'bob', CHAP_R: proof() },
      { CHAP_N: 'alice', CHAP_R: proof('wrong') },
      { CHAP_N: 'alice', CHAP_R: '0x12' },
      { CHAP_N: 'alice', CHAP_R: 'rubbish' },
      { CHAP_N: 'alice' },
    ]) {
      const { exchange } = begin();
      expect(exchange.step(keys(given)).kind).to.equal('failed');
      expect(exchange.done).to.equal(false);
    }
  });

  it('proves itself to an initiator that asks', () => {
    const { exchange } = begin();
    const outcome = exchange.step(
      keys({ CHAP_N: 'alice', CHAP_R: proof(), CHAP_I: '9', CHAP_C: hex(CHALLENGE) }),
    );
    const expected = hex(chapResponse('sha256', 9, 'another long secret', CHALLENGE));
    expect(outcome).to.deep.equal({
      kind: 'answer',
      pairs: [
        { key: 'CHAP_N', value: 'volume' },
        { key: 'CHAP_R', value: expected },
      ],
    });
  });

  it('refuses its own challenge reflected', () => {
    const { exchange, answers } = begin();
    const outcome = exchange.step(
      keys({
        CHAP_N: 'alice',
        CHAP_R: proof(),
        CHAP_I: '9',
        CHAP_C: answers.get('CHAP_C')!,
      }),
    );
    expect(outcome.kind).to.equal('failed');
  });

  it('refuses mutual CHAP that is not set up', () => {
    const { exchange } = begin({ ...SETTINGS, target: null });
    const outcome = exchange.step(
      keys({ CHAP_N: 'alice', CHAP_R: proof(), CHAP_I: '9', CHAP_C: '0x01' }),
    );
    expect(outcome.kind).to.equal('failed');
  });

  it('refuses a challenge of its peer that is no byte string or too long', () => {
    for (const [identifier, challenge] of [
      ['256', '0x01'],
      ['x', '0x01'],
      ['1', 'zz'],
      ['1', `0x${'00'.repeat(1025)}`],
    ] as const) {
      const { exchange } = begin();
      const outcome = exchange.step(
        keys({ CHAP_N: 'alice', CHAP_R: proof(), CHAP_I: identifier, CHAP_C: challenge }),
      );
      expect(outcome.kind).to.equal('failed');
    }
  });

  it('takes the keys in their order only', () => {
    const exchange = new ChapExchange(SETTINGS, (bytes) => new Uint8Array(bytes));
    expect(exchange.step(keys({ CHAP_N: 'alice', CHAP_R: '0x00' })).kind).to.equal('failed');
  });
});
