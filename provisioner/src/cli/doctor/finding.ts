/** One thing that was looked at. `fix` is a command, or a sentence where there is none. */
export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'error';
  readonly detail: string;
  readonly fix: string | null;
}

export const ok = (check: string, detail: string): Finding => ({
  check,
  status: 'ok',
  detail,
  fix: null,
});

export const warning = (check: string, detail: string, fix: string): Finding => ({
  check,
  status: 'warning',
  detail,
  fix,
});

export const failure = (check: string, detail: string, fix: string): Finding => ({
  check,
  status: 'error',
  detail,
  fix,
});
