import type { IscsiLog } from './context.ts';
import type { IscsiCounters } from './counters.ts';
import type { LoginFailure } from './login/status.ts';

const LOG_EVERY_MS = 1000;

/**
 * Every login that fails is counted, and told in the log; of each kind only one in a second, with
 * the number of those left out since, so that nobody can fill the disk with them.
 */
export class LoginFailures {
  readonly #log: IscsiLog;
  readonly #counters: IscsiCounters;
  readonly #told = new Map<LoginFailure, { readonly atMs: number; omitted: number }>();

  constructor(log: IscsiLog, counters: IscsiCounters) {
    this.#log = log;
    this.#counters = counters;
  }

  /** `nowMs`: monotonic. */
  note(nowMs: number, failure: LoginFailure, fields: object, message: string): void {
    this.#counters.loginsFailed[failure]++;
    const last = this.#told.get(failure);
    if (last !== undefined && nowMs - last.atMs < LOG_EVERY_MS) {
      last.omitted++;
      return;
    }
    this.#told.set(failure, { atMs: nowMs, omitted: 0 });
    const omitted = last === undefined || last.omitted === 0 ? {} : { omitted: last.omitted };
    this.#log.warn({ ...fields, failure, ...omitted }, message);
  }
}
