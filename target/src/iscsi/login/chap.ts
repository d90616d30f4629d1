import { crypto } from '@openebs/replica/runtime';
import { hexValue, parseBinaryValue, parseNumber } from './text.ts';

/**
 * RFC 7143 12.1.3 and the IANA registry "PPP Authentication Algorithms": number in CHAP_A, name of
 * the hash.
 */
export const CHAP_ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ['5', 'md5'],
  ['6', 'sha1'],
  ['7', 'sha256'],
  ['8', 'sha3-256'],
]);

export interface ChapCredentials {
  readonly user: string;
  readonly secret: string;
}

export interface ChapSettings {
  /** What the initiator proves. */
  readonly initiator: ChapCredentials;
  /** What we prove when the initiator asks; null refuses initiators that ask. */
  readonly target: ChapCredentials | null;
}

/** RFC 1994 4.1: hash of the identifier, the secret and the challenge. */
export const chapResponse = (
  hash: string,
  identifier: number,
  secret: string,
  challenge: Uint8Array,
): Uint8Array =>
  crypto
    .createHash(hash)
    .update(Uint8Array.of(identifier))
    .update(secret, 'utf8')
    .update(challenge)
    .digest();

/** RFC 7143 12.1.3: at most 1024 bytes. */
const MAX_CHALLENGE_BYTES = 1024;
const CHALLENGE_BYTES = 32;

export type ChapOutcome =
  | { readonly kind: 'answer'; readonly pairs: readonly { key: string; value: string }[] }
  | { readonly kind: 'failed'; readonly message: string };

/**
 * The target's side of CHAP in one login. RFC 7143 12.1.3
 *
 *     offered --CHAP_A--> challenged --CHAP_N, CHAP_R [, CHAP_I, CHAP_C]--> done
 */
export class ChapExchange {
  readonly #settings: ChapSettings;
  readonly #random: (bytes: number) => Uint8Array;
  #state:
    | { readonly kind: 'offered' }
    | {
        readonly kind: 'challenged';
        readonly hash: string;
        readonly identifier: number;
        readonly challenge: Uint8Array;
      }
    | { readonly kind: 'done' } = { kind: 'offered' };

  constructor(settings: ChapSettings, random: (bytes: number) => Uint8Array) {
    this.#settings = settings;
    this.#random = random;
  }

  get done(): boolean {
    return this.#state.kind === 'done';
  }

  /** One step with the CHAP keys of one complete text. */
  step(keys: ReadonlyMap<string, string>): ChapOutcome {
    switch (this.#state.kind) {
      case 'offered': {
        const offer = keys.get('CHAP_A');
        if (offer === undefined) {
          return keys.size === 0
            ? { kind: 'answer', pairs: [] }
            : failed('CHAP_A has to come before the other CHAP keys');
        }
        return this.#choose(offer);
      }
      case 'challenged':
        return keys.size === 0 ? { kind: 'answer', pairs: [] } : this.#verify(this.#state, keys);
      case 'done':
        return keys.size === 0
          ? { kind: 'answer', pairs: [] }
          : failed('CHAP keys after the end of the exchange');
    }
  }

  #choose(offer: string): ChapOutcome {
    // The initiator's list is in order of its preference.
    const algorithm = offer.split(',').find((each) => CHAP_ALGORITHMS.has(each));
    const hash = algorithm === undefined ? undefined : CHAP_ALGORITHMS.get(algorithm);
    if (algorithm === undefined || hash === undefined) {
      return failed(`none of the CHAP algorithms ${offer} is supported`);
    }
    const identifier = this.#random(1)[0] as number;
    const challenge = this.#random(CHALLENGE_BYTES);
    this.#state = { kind: 'challenged', hash, identifier, challenge };
    return {
      kind: 'answer',
      pairs: [
        { key: 'CHAP_A', value: algorithm },
        { key: 'CHAP_I', value: String(identifier) },
        { key: 'CHAP_C', value: hexValue(challenge) },
      ],
    };
  }

  #verify(
    sent: { hash: string; identifier: number; challenge: Uint8Array },
    keys: ReadonlyMap<string, string>,
  ): ChapOutcome {
    const user = keys.get('CHAP_N');
    const response = keys.get('CHAP_R');
    if (user === undefined || response === undefined) return failed('CHAP_N or CHAP_R is missing');
    const { initiator } = this.#settings;
    const given = parseBinaryValue(response) ?? new Uint8Array(0);
    const expected = chapResponse(sent.hash, sent.identifier, initiator.secret, sent.challenge);
    // Both comparisons always run, so that time tells nothing about the name.
    const userFits = equal(Buffer.from(user), Buffer.from(initiator.user));
    const responseFits = equal(given, expected);
    if (!userFits || !responseFits) return failed('the name or the response is wrong');
    const identifier = keys.get('CHAP_I');
    const challenge = keys.get('CHAP_C');
    if (identifier === undefined && challenge === undefined) {
      this.#state = { kind: 'done' };
      return { kind: 'answer', pairs: [] };
    }
    return this.#prove(sent, identifier, challenge);
  }

  /** The initiator wants proof of the target. */
  #prove(
    sent: { hash: string; challenge: Uint8Array },
    identifierText: string | undefined,
    challengeText: string | undefined,
  ): ChapOutcome {
    const { target } = this.#settings;
    if (target === null) return failed('the initiator asks for mutual CHAP, which is not set up');
    const identifier = parseNumber(identifierText ?? '');
    const challenge = parseBinaryValue(challengeText ?? '');
    if (identifier === null || identifier > 255) return failed('CHAP_I is not a byte');
    if (challenge === null || challenge.length > MAX_CHALLENGE_BYTES) {
      return failed('CHAP_C is not a binary value of at most 1024 bytes');
    }
    // RFC 7143 12.1.3: a challenge that reflects ours would have us compute the initiator's own
    // response.
    if (equal(challenge, sent.challenge))
      return failed('the initiator sent our own challenge back');
    this.#state = { kind: 'done' };
    const proof = chapResponse(sent.hash, identifier, target.secret, challenge);
    return {
      kind: 'answer',
      pairs: [
        { key: 'CHAP_N', value: target.user },
        { key: 'CHAP_R', value: hexValue(proof) },
      ],
    };
  }
}

const failed = (message: string): ChapOutcome => ({ kind: 'failed', message });

/** In constant time for the length of `a`; lengths are no secret. */
const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && crypto.timingSafeEqual(a, b);
