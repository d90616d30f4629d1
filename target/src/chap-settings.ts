import type { ChapCredentials, ChapSettings } from './iscsi/index.ts';

/** As people and the control API give them; null where nothing was given. */
export interface ChapParts {
  readonly user: string | null;
  readonly secret: string | null;
  readonly mutualUser: string | null;
  readonly mutualSecret: string | null;
}

/** RFC 7143 9.2.1: shorter ones need protection by IPsec; initiators take no longer ones. */
const MIN_SECRET_BYTES = 12;
const MAX_SECRET_BYTES = 255;
const MAX_USER_BYTES = 255;

/** Null: no authentication. A string: what is wrong, without any of the secrets. */
export const chapSettings = (parts: ChapParts): ChapSettings | string | null => {
  const initiator = credentials('the CHAP user', parts.user, parts.secret);
  if (typeof initiator === 'string') return initiator;
  const target = credentials('the mutual CHAP user', parts.mutualUser, parts.mutualSecret);
  if (typeof target === 'string') return target;
  if (initiator === null) {
    return target === null ? null : 'a mutual CHAP user needs a CHAP user';
  }
  // RFC 7143 12.1.3: one secret for both directions would let an initiator answer our challenge
  // with ours.
  if (target?.secret === initiator.secret) return 'the two CHAP secrets must differ';
  return { initiator, target };
};

const credentials = (
  who: string,
  user: string | null,
  secret: string | null,
): ChapCredentials | string | null => {
  if ((user === null) !== (secret === null)) return `${who} and the secret go together`;
  if (user === null || secret === null) return null;
  const bytes = Buffer.byteLength(user);
  if (bytes === 0 || bytes > MAX_USER_BYTES || /\p{Cc}/u.test(user)) {
    return `${who} has 1 to ${MAX_USER_BYTES} bytes and no control characters`;
  }
  const length = Buffer.byteLength(secret);
  if (length < MIN_SECRET_BYTES || length > MAX_SECRET_BYTES || secret.includes('\0')) {
    return `the secret of ${who} has ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes`;
  }
  return { user, secret };
};
