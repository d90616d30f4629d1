import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { defaultDataDirectory } from './server-file.ts';
import { DEFAULT_REPLICAS, DEFAULT_VOLUME_BYTES } from './limits.ts';
import type { VolumeEvent, VolumeView } from './orchestrator/orchestrator.ts';
import { Problem } from './problem.ts';
import { parseStartOptions } from './start-options.ts';
import { startScreen } from './start-screen.ts';
import { openSystem, type System } from './system.ts';

const DEMO = 'demo';
/** How long the first screen waits for volumes to be healthy before it shows them as they are. */
const SCREEN_WAIT_MS = 20_000;
/** npm passes on the Ctrl-C that the terminal has sent to us already: that is not a second one. */
const SECOND_SIGNAL_AFTER_MS = 1_000;

async function main(): Promise<void> {
  const options = parseStartOptions(process.argv.slice(2));
  say('Starting ...');
  const system = await openSystem({
    dataDirectory: options.dataDir,
    apiPort: options.apiPort,
    iscsiPort: options.iscsiPort,
    onProgress: (message) => say(message),
  });
  stopOnSignals(system);
  const notes: string[] = [];
  const unsubscribe = system.orchestrator.onEvent(({ kind, volume, message }) => {
    if (kind === 'portal-moved') notes.push(`${volume}: ${message}`);
  });
  await system.startVolumes();
  if (options.demo && system.directory.isNew) await createDemo(system);
  const volumes = await untilSettled(system);
  say(
    startScreen({
      apiUrl: system.apiUrl,
      wantedApiPort: options.apiPort,
      wantedIscsiPort: options.iscsiPort,
      dataDirectory: system.directory.path,
      isDefaultDirectory: resolve(options.dataDir) === defaultDataDirectory(),
      volumes,
      notes,
      damaged: system.orchestrator.damaged(),
    }),
  );
  unsubscribe();
  system.orchestrator.onEvent((event) => say(eventLine(event)));
}

async function createDemo(system: System): Promise<void> {
  await system.orchestrator.createVolume(
    { name: DEMO, sizeBytes: DEFAULT_VOLUME_BYTES, replicas: DEFAULT_REPLICAS },
    { idempotencyKey: null },
  );
}

/** Volumes that come up are worth a moment; those that do not are shown with their reason. */
async function untilSettled(system: System): Promise<readonly VolumeView[]> {
  const deadline = performance.now() + SCREEN_WAIT_MS;
  for (;;) {
    const volumes = system.orchestrator.volumes();
    const isComing = volumes.some(({ status }) => status === 'starting' || status === 'degraded');
    if (!isComing || performance.now() > deadline) return volumes;
    await delay(50);
  }
}

function stopOnSignals(system: System): void {
  let firstMs: number | null = null;
  const onSignal = (): void => {
    if (firstMs !== null) {
      if (performance.now() - firstMs < SECOND_SIGNAL_AFTER_MS) return;
      say('Forced: what the replicas had not flushed is compared at the next start.');
      system.orchestrator.kill();
      process.exit(1);
    }
    firstMs = performance.now();
    say('\nStopping: the replicas flush ... (Ctrl-C again forces it)');
    system.stop().then(
      () => {
        say(`Stopped. The data is kept in ${system.directory.path}`);
        process.exit(0);
      },
      (error: unknown) => fail(error),
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
}

function eventLine(event: VolumeEvent): string {
  const mark = event.severity === 'warning' ? '!' : ' ';
  return `${new Date().toTimeString().slice(0, 8)} ${mark} ${event.volume}: ${event.message}`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function fail(error: unknown): never {
  if (error instanceof Problem) {
    process.stderr.write(`error: ${error.message}\n`);
    if (error.next !== null) process.stderr.write(`  next: ${error.next}\n`);
  } else {
    process.stderr.write(
      `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
  process.exit(1);
}

// A terminal that is closed, or a reader that has enough, must not take the volumes with it.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
main().catch((error: unknown) => fail(error));
