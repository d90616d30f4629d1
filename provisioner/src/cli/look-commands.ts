import { InvalidArgumentError, type Command } from 'commander';
import { describeVolume } from './commands/describe.ts';
import { showEvents, type EventsOptions } from './commands/events.ts';
import { top } from './commands/top.ts';
import { volumeStats, type StatsOptions } from './commands/stats.ts';
import { volumeInfo } from './commands/volume.ts';
import { watchVolume } from './commands/watch.ts';
import { MAX_EVENTS } from '../limits.ts';
import type { CliContext } from './context.ts';

const MAX_INTERVAL_SECONDS = 3600;

interface Running {
  readonly context: () => CliContext;
  readonly finish: (command: Promise<number>) => Promise<void>;
}

/** What is to be seen of one volume. */
export function addLookCommands(volume: Command, { context, finish }: Running): void {
  volume
    .command('info')
    .description('one volume and its replicas')
    .argument('<name>')
    .option('--watch', 'go on telling, until Ctrl-C', false)
    .action((name: string, options: { watch: boolean }) =>
      finish(options.watch ? watchVolume(context(), name) : volumeInfo(context(), name)),
    );
  volume
    .command('describe')
    .description('all that is known of a volume: also its I/O, snapshots and last events')
    .argument('<name>')
    .action((name: string) => finish(describeVolume(context(), name)));
  volume
    .command('stats')
    .description('what its initiators get per second; MB and GB are 2^20 and 2^30 bytes')
    .argument('<name>')
    .option('--watch', 'a line for each interval, until Ctrl-C', false)
    .option('--interval <seconds>', 'how long to count', intervalSeconds, 1)
    .action((name: string, { watch, interval }: { watch: boolean; interval: number }) => {
      const options: StatsOptions = { watch, intervalSeconds: interval };
      return finish(volumeStats(context(), name, options));
    });
}

/** What happens to all of them. */
export function addWatchCommands(program: Command, { context, finish }: Running): void {
  program
    .command('top')
    .description('what all volumes do, the busiest first; on a terminal until Ctrl-C')
    .option('--interval <seconds>', 'how long to count', intervalSeconds, 2)
    .action(({ interval }: { interval: number }) =>
      finish(top(context(), { intervalSeconds: interval })),
    );
  program
    .command('events')
    .description('what happened to all volumes, or to one, since the API server was started')
    .argument('[name]')
    .option('--limit <count>', 'the newest of them', eventCount, 100)
    .option('--watch', 'go on telling, until Ctrl-C', false)
    .action((name: string | undefined, options: EventsOptions) =>
      finish(showEvents(context(), name ?? null, options)),
    );
}

function eventCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MAX_EVENTS) {
    throw new InvalidArgumentError(`It is a number from 1 to ${MAX_EVENTS}.`);
  }
  return count;
}

function intervalSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 0.1 && seconds <= MAX_INTERVAL_SECONDS)) {
    throw new InvalidArgumentError(
      `It is a number of seconds from 0.1 to ${MAX_INTERVAL_SECONDS}.`,
    );
  }
  return seconds;
}
