import { setTimeout as delay } from 'node:timers/promises';
import type { LoggedEvent } from '../../api/event-log.ts';
import { wrap } from '../../wrap.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { paint, structured } from '../output.ts';

const PERIOD_MS = 1_000;
const WIDTH = 80;

export interface EventsOptions {
  readonly watch: boolean;
  readonly limit: number;
}

/** The newest last, as a log; with --watch it goes on until Ctrl-C. */
export async function showEvents(
  context: CliContext,
  volume: string | null,
  { watch, limit }: EventsOptions,
): Promise<number> {
  const client = await context.client();
  const first = (await client.events(volume)).slice(0, limit).reverse();
  await print(context, first, { volume, watch });
  let lastId = first.at(-1)?.id ?? 0;
  while (watch) {
    await delay(PERIOD_MS);
    const all = await client.events(volume);
    // A server that was started anew counts from one.
    if ((all[0]?.id ?? 0) < lastId) lastId = 0;
    const news = all.filter(({ id }) => id > lastId).reverse();
    lastId = news.at(-1)?.id ?? lastId;
    if (news.length > 0) await print(context, news, { volume, watch });
  }
  return EXIT.ok;
}

async function print(
  context: CliContext,
  events: readonly LoggedEvent[],
  { volume, watch }: { volume: string | null; watch: boolean },
): Promise<void> {
  const { output } = context.options;
  if (watch && (output === 'json' || output === 'yaml')) {
    for (const event of events) {
      // One document each, as programs read streams.
      if (output === 'json') context.out(`${JSON.stringify(event)}\n`);
      else context.out(`---\n${(await structured('yaml', event, [])) ?? ''}`);
    }
    return;
  }
  const names = events.map((event) => event.kind);
  const text = await structured(output, events, names);
  const none = watch ? '' : 'No events since the API server was started.\n';
  const lines = eventLines(events, { ofOne: volume !== null, color: context.color });
  context.out(text ?? (events.length === 0 ? none : lines));
}

/** `2026-01-01 00:00:00 ! db: what happened`: the mark stands for a warning. */
export function eventLines(
  events: readonly LoggedEvent[],
  { ofOne, color }: { ofOne: boolean; color: boolean },
): string {
  return events
    .map(({ at, severity, volume, message }) => {
      const isWarning = severity === 'warning';
      const mark = isWarning ? paint('!', 'yellow', color) : ' ';
      const indent = ' '.repeat(22);
      const words = wrap(ofOne ? message : `${volume}: ${message}`, { width: WIDTH, indent });
      return `${at.slice(0, 19).replace('T', ' ')} ${mark} ${words.trimStart()}\n`;
    })
    .join('');
}
