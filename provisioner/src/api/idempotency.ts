import { createHash } from 'node:crypto';
import {
  IDEMPOTENCY_TTL_MS,
  MAX_IDEMPOTENCY_KEYS,
  MAX_IDEMPOTENCY_KEY_CHARACTERS,
} from '../limits.ts';
import { Problem } from '../problem.ts';

interface Entry<Answer> {
  readonly fingerprint: string;
  readonly answer: Promise<Answer>;
  readonly expiresMs: number;
}

/**
 * The Idempotency-Key header: a request that is sent again with the same key gets the first one's
 * answer and does nothing. A failed request may be tried again with its key.
 */
export class Idempotency<Answer> {
  readonly #entries = new Map<string, Entry<Answer>>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  run(key: string, request: unknown, work: () => Promise<Answer>): Promise<Answer> {
    if (key.length === 0 || key.length > MAX_IDEMPOTENCY_KEY_CHARACTERS) {
      throw new Problem(
        'bad-request',
        `Idempotency-Key has 1 to ${MAX_IDEMPOTENCY_KEY_CHARACTERS} characters`,
      );
    }
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('hex');
    const known = this.#entries.get(key);
    if (known !== undefined && known.expiresMs > this.#now()) {
      if (known.fingerprint === fingerprint) return known.answer;
      throw new Problem('idempotency-conflict', `the key was used for another request`, {
        next: 'use a new key for each request that is meant to do something new',
      });
    }
    const answer = work();
    this.#entries.delete(key);
    this.#entries.set(key, { fingerprint, answer, expiresMs: this.#now() + IDEMPOTENCY_TTL_MS });
    answer.catch(() => this.#entries.delete(key));
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > MAX_IDEMPOTENCY_KEYS && oldest !== undefined) {
      this.#entries.delete(oldest);
    }
    return answer;
  }
}
