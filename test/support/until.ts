const POLL_MS = 20;
const WITHIN_MS = 30_000;

/** Waits until the condition holds; rejects with what was waited for when it does not in time. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  withinMs = WITHIN_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
