import type { ChapSettings } from './orchestrator/orchestrator.ts';
import { Problem } from './problem.ts';

/** As a request has it. */
export interface ChapBody {
  readonly user: string;
  readonly secret: string;
  readonly mutualUser?: string;
  readonly mutualSecret?: string;
}

/** RFC 7143 9.2.1: shorter ones need protection by IPsec. */
const MIN_SECRET_BYTES = 12;
const MAX_BYTES = 255;

/** Throws Problem chap-invalid, which names no secret. */
export function chapOf(body: ChapBody | null): ChapSettings | null {
  if (body === null) return null;
  const { user, secret, mutualUser = null, mutualSecret = null } = body;
  requireUser(user);
  requireSecret(secret);
  if ((mutualUser === null) !== (mutualSecret === null)) {
    throw invalid('a mutual CHAP user and its secret go together');
  }
  if (mutualUser !== null && mutualSecret !== null) {
    requireUser(mutualUser);
    requireSecret(mutualSecret);
    if (mutualSecret === secret) throw invalid('the two CHAP secrets must differ');
  }
  return { user, secret, mutualUser, mutualSecret };
}

function requireUser(user: string): void {
  if (user !== '' && Buffer.byteLength(user) <= MAX_BYTES && !/\p{Cc}/u.test(user)) return;
  throw invalid(`a CHAP user has 1 to ${MAX_BYTES} bytes and no control characters`);
}

function requireSecret(secret: string): void {
  const bytes = Buffer.byteLength(secret);
  if (bytes >= MIN_SECRET_BYTES && bytes <= MAX_BYTES && !/[\0\r\n]/.test(secret)) return;
  throw invalid(`a CHAP secret is one line of ${MIN_SECRET_BYTES} to ${MAX_BYTES} bytes`);
}

function invalid(why: string): Problem {
  return new Problem('chap-invalid', why);
}
