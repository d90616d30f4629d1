import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import pino, { type Logger } from 'pino';
import { buildApp } from './api/app.ts';
import { EventLog } from './api/event-log.ts';
import { Operations } from './api/operations.ts';
import { loadTokens } from './api/tokens.ts';
import { DataDirectory } from './data-directory.ts';
import { warmUp } from './orchestrator/local/daemons.ts';
import { awaitLeftovers } from './orchestrator/local/leftovers.ts';
import { LocalOrchestrator } from './orchestrator/local/local-orchestrator.ts';
import { LogFile } from './orchestrator/local/log-file.ts';
import { findFreePort } from './orchestrator/local/ports.ts';
import { writeServerFile } from './server-file.ts';
import { counted } from './wrap.ts';

/** Loopback only: iSCSI without CHAP and HTTP without TLS stay on this host. */
const HOST = '127.0.0.1';

export interface SystemOptions {
  readonly dataDirectory: string;
  /** First port to try; 0: any free one. */
  readonly apiPort: number;
  readonly iscsiPort: number;
  /** What a person who waits should know. */
  onProgress(message: string): void;
}

/** Everything on this host: data directory, orchestrator, API server. */
export interface System {
  readonly directory: DataDirectory;
  readonly orchestrator: LocalOrchestrator;
  readonly events: EventLog;
  readonly apiUrl: string;
  readonly apiPort: number;
  /** Starts the volumes of the last run; resolves when their processes are started. */
  startVolumes(): Promise<void>;
  /** Orderly: the API first, then targets, then replicas, which flush. */
  stop(): Promise<void>;
}

/** Answers on the API port when resolved. Throws Problem in words; nothing stays behind then. */
export async function openSystem(options: SystemOptions): Promise<System> {
  const directory = await DataDirectory.open(options.dataDirectory);
  try {
    await awaitLeftovers(directory.markDirectory, {
      onWait: (count) =>
        options.onProgress(
          `waiting for ${counted(count, 'daemon')} of the last run to flush and end`,
        ),
    });
    await warmUp(directory.cacheDirectory);
    return await serve(directory, options);
  } catch (error) {
    directory.close();
    throw error;
  }
}

async function serve(directory: DataDirectory, options: SystemOptions): Promise<System> {
  const orchestrator = new LocalOrchestrator({
    dataDirectory: directory.path,
    cacheDirectory: directory.cacheDirectory,
    markDirectory: directory.markDirectory,
    portalHost: HOST,
    firstPortalPort: options.iscsiPort,
  });
  const events = new EventLog(orchestrator);
  let isReady = false;
  const log = serverLog(join(directory.path, 'logs', 'server.log'));
  orchestrator.onEvent((event) => log.info(event, event.message));
  const app = await buildApp(
    {
      orchestrator,
      operations: new Operations({ failed: (operation) => events.operationFailed(operation) }),
      events,
      tokens: await loadTokens(directory.path),
      dataDirectory: directory.path,
      startedAt: new Date(),
      isReady: () => isReady,
    },
    log,
  );
  const apiPort = await listen(app, options.apiPort);
  const apiUrl = `http://${HOST}:${apiPort}`;
  await writeServerFile(directory.path, {
    apiUrl,
    pid: process.pid,
    startedAt: new Date().toISOString(),
  });
  return {
    directory,
    orchestrator,
    events,
    apiUrl,
    apiPort,
    startVolumes: async () => {
      await orchestrator.start();
      isReady = true;
    },
    stop: async () => {
      isReady = false;
      await app.close();
      await orchestrator.stop();
      directory.close();
    },
  };
}

/** What is kept of lines that could not be written; the rest is dropped. */
const MAX_UNWRITTEN_BYTES = 64 * 1024;

function serverLog(path: string): Logger {
  new LogFile(path).rotateIfLarge();
  const destination = pino.destination({ dest: path, sync: true, maxLength: MAX_UNWRITTEN_BYTES });
  // A full disk costs log lines, never the server.
  destination.on('error', () => undefined);
  return pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

async function listen(app: FastifyInstance, firstPort: number): Promise<number> {
  const port = await findFreePort(HOST, firstPort, new Set());
  await app.listen({ host: HOST, port });
  return port;
}
