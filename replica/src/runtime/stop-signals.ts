import { stopWithParent } from './parent.ts';

/** Signals closer together than this are one stop. */
const SAME_STOP_MS = 1_000;

/**
 * The first signal (or the end of the supervisor) stops in order, a later signal ends the process
 * at once with `exitCode`. Signals that come together count as one: Ctrl-C reaches the whole
 * process group, and who started this daemon passes it on as well.
 */
export function onStop(stop: (reason: string) => void, exitCode: number): void {
  let firstMs: number | null = null;
  const first = (reason: string): void => {
    if (firstMs !== null) return;
    firstMs = performance.now();
    stop(reason);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (firstMs === null) first(signal);
      else if (performance.now() - firstMs > SAME_STOP_MS) process.exit(exitCode);
    });
  }
  stopWithParent(() => first('the supervisor is gone'));
}
