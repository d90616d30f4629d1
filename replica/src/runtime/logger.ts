import type { Logger as PinoLogger, LoggerOptions, pino as Pino } from 'pino';

export type Logger = PinoLogger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What is kept of lines that could not be written; the rest is dropped. */
const MAX_UNWRITTEN_BYTES = 64 * 1024;

const { createRequire } = process.getBuiltinModule('node:module');

/**
 * JSON lines on standard output, written before the call returns: what a daemon said last before it
 * died is there. No worker thread.
 */
export const createLogger = ({
  name,
  level,
}: {
  readonly name: string;
  readonly level: LogLevel;
}): Logger => {
  // pino is CommonJS: required, not imported, so that the lexer for its export names is not loaded.
  const pino = createRequire(import.meta.url)('pino') as typeof Pino;
  const options: LoggerOptions = {
    level,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  const destination = pino.destination({ fd: 1, sync: true, maxLength: MAX_UNWRITTEN_BYTES });
  // A full disk or a closed pipe costs log lines, never the daemon: it goes on when there is space
  // again.
  destination.on('error', () => undefined);
  return pino(options, destination);
};
