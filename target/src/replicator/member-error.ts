import type { RequestFailure } from './link.ts';

/** A request to a member got no answer. */
export class MemberError extends Error {
  override readonly name = 'MemberError';
  readonly code: string;
  readonly offsetBytes: number | null;

  constructor({ code, message, offsetBytes }: RequestFailure, address: string) {
    super(`${address}: ${message}`);
    this.code = code;
    this.offsetBytes = offsetBytes;
  }
}

const OFFLINE: RequestFailure = {
  code: 'LINK_CLOSED',
  message: 'the replica is offline',
  offsetBytes: null,
};

export const offlineError = (address: string): MemberError => new MemberError(OFFLINE, address);
