/**
 * A supervisor that starts this daemon with OPENEBS_EXIT_ON_STDIN_EOF=1 keeps the other end of its
 * standard input open and never writes: when that ends, the supervisor is gone, however it died,
 * and the daemon stops as on SIGTERM instead of holding its lock and its port for ever.
 */
export function stopWithParent(
  stop: () => void,
  env: Readonly<Record<string, string | undefined>> = process.env,
): void {
  if (env['OPENEBS_EXIT_ON_STDIN_EOF'] !== '1') return;
  let stopped = false;
  const once = (): void => {
    if (stopped) return;
    stopped = true;
    stop();
  };
  // A killed parent may also show as a reset.
  process.stdin.on('end', once).on('error', once).on('close', once).resume();
}
