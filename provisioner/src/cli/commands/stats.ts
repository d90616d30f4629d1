import { setTimeout as delay } from 'node:timers/promises';
import type { VolumeStats } from '../../orchestrator/orchestrator.ts';
import type { ApiClient } from '../api-client.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { structured, table } from '../output.ts';
import { RATE_COLUMNS, WIDE_RATE_COLUMNS, rateCells, ratesOf, type Rates } from '../rates.ts';

export interface StatsOptions {
  readonly watch: boolean;
  readonly intervalSeconds: number;
}

/** Two samples, and what happened in between; with --watch again and again, until Ctrl-C. */
export async function volumeStats(
  context: CliContext,
  name: string,
  { watch, intervalSeconds }: StatsOptions,
): Promise<number> {
  const client = await context.client();
  let before = await client.volumeStats(name);
  for (let line = 0; ; line++) {
    const [rates, after] = await measure(client, before, intervalSeconds * 1000);
    before = after;
    await print(context, rates, { line, watch });
    if (!watch) return EXIT.ok;
  }
}

async function measure(
  client: ApiClient,
  first: VolumeStats,
  intervalMs: number,
): Promise<readonly [Rates, VolumeStats]> {
  let before = first;
  for (;;) {
    await delay(intervalMs);
    const after = await client.volumeStats(first.volume);
    const rates = ratesOf(before, after);
    if (rates !== null) return [rates, after];
    before = after;
  }
}

/** Screenfuls of lines below one header. */
const HEADER_EVERY = 20;

async function print(
  context: CliContext,
  rates: Rates,
  { line, watch }: { line: number; watch: boolean },
): Promise<void> {
  const { output } = context.options;
  if (output === 'json' && watch) {
    // One document on each line, as programs read streams.
    context.out(`${JSON.stringify(rates)}\n`);
    return;
  }
  const text = await structured(output, rates, [rates.volume]);
  if (text !== null) {
    context.out(output === 'yaml' && watch ? `---\n${text}` : text);
    return;
  }
  const wide = output === 'wide';
  const header = [...RATE_COLUMNS, ...(wide ? WIDE_RATE_COLUMNS : [])];
  const lines = table(header, [rateCells(rates, { wide }).map((cell, i) => fit(cell, header[i]))]);
  context.out(line % HEADER_EVERY === 0 ? lines : lines.slice(lines.indexOf('\n') + 1));
}

/** Wide enough that the lines of a watch stand below each other. */
function fit(cell: string, header = ''): string {
  return cell.padEnd(Math.max(header.length, 7));
}
