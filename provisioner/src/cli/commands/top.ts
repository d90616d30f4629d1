import { setTimeout as delay } from 'node:timers/promises';
import type { VolumeStats, VolumeView } from '../../orchestrator/orchestrator.ts';
import type { ApiClient } from '../api-client.ts';
import type { CliContext } from '../context.ts';
import { CliFailure, EXIT } from '../failure.ts';
import { structured, table } from '../output.ts';
import { rateCells, ratesOf, RATE_COLUMNS, type Rates } from '../rates.ts';

/** Volumes that are asked at the same time. */
const ASKED_AT_ONCE = 16;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';
/** Of `RATE_COLUMNS`, without the space that they take. */
const SHOWN_COLUMNS = 6;

export interface TopLine {
  readonly volume: Pick<VolumeView, 'name' | 'status'>;
  /** Null while it does not serve, or was started anew in between. */
  readonly rates: Rates | null;
}

type Sample = ReadonlyMap<string, VolumeStats>;

/** What all volumes do, the busiest first: on a terminal until Ctrl-C, elsewhere once. */
export async function top(
  context: CliContext,
  { intervalSeconds }: { intervalSeconds: number },
): Promise<number> {
  const client = await context.client();
  const { output } = context.options;
  const isLive = process.stdout.isTTY && (output === 'table' || output === 'wide');
  let before = await sample(client, (await client.volumes()).items);
  do {
    await delay(intervalSeconds * 1000);
    const { items } = await client.volumes();
    const after = await sample(client, items);
    const lines = busiestFirst(items.map((volume) => lineOf(volume, before, after)));
    before = after;
    const document = lines.map(({ volume, rates }) => ({
      volume: volume.name,
      status: volume.status,
      rates,
    }));
    const names = lines.map(({ volume }) => volume.name);
    const text = await structured(output, document, names);
    const size = isLive
      ? { rows: process.stdout.rows, columns: process.stdout.columns }
      : { rows: Infinity, columns: 80 };
    context.out((isLive ? CLEAR_SCREEN : '') + (text ?? topText(lines, size)));
  } while (isLive);
  return EXIT.ok;
}

async function sample(client: ApiClient, volumes: readonly VolumeView[]): Promise<Sample> {
  const found = new Map<string, VolumeStats>();
  const names = volumes.map(({ name }) => name);
  const worker = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      try {
        found.set(name, await client.volumeStats(name));
      } catch (error) {
        // It does not serve, or has been deleted meanwhile: there are no rates of it.
        if (!(error instanceof CliFailure) || !NO_RATES.includes(error.exitCode)) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker));
  return found;
}

const NO_RATES: readonly number[] = [EXIT.conflict, EXIT.notFound];

function lineOf(volume: VolumeView, before: Sample, after: Sample): TopLine {
  const [first, second] = [before.get(volume.name), after.get(volume.name)];
  const rates = first === undefined || second === undefined ? null : ratesOf(first, second);
  return { volume, rates };
}

/** By operations in a second; who does nothing stands in the order of names. */
export function busiestFirst(lines: readonly TopLine[]): readonly TopLine[] {
  const work = ({ rates }: TopLine): number =>
    rates === null ? -1 : rates.readsPerSecond + rates.writesPerSecond;
  return [...lines].sort((a, b) => work(b) - work(a));
}

/** The sum first; no more lines than the screen has, none longer. */
export function topText(
  lines: readonly TopLine[],
  { rows, columns }: { rows: number; columns: number },
): string {
  // The header, the sum, and the line of the cursor.
  const shown = lines.slice(0, Math.max(1, rows - 3));
  const header = [...RATE_COLUMNS.slice(0, SHOWN_COLUMNS), 'NAME'];
  const body = shown.map(({ volume, rates }) => [
    ...(rates === null
      ? Array.from({ length: SHOWN_COLUMNS }, () => '-')
      : rateCells(rates, { wide: false }).slice(0, SHOWN_COLUMNS)),
    volume.status === 'healthy' ? volume.name : `${volume.name} (${volume.status})`,
  ]);
  const left = lines.length - shown.length;
  const rows_ = [sumCells(lines, left), ...body].map((cells) =>
    cells.map((cell, i) => (i < SHOWN_COLUMNS ? cell.padEnd(NUMBER_WIDTH) : cell)),
  );
  return table(header, rows_)
    .split('\n')
    .map((line) => (line.length <= columns ? line : `${line.slice(0, columns - 3)}...`))
    .join('\n');
}

/** So that columns do not move while numbers change. */
const NUMBER_WIDTH = 8;

function sumCells(lines: readonly TopLine[], left: number): string[] {
  const sum = (pick: (rates: Rates) => number): number =>
    lines.reduce((total, { rates }) => total + (rates === null ? 0 : pick(rates)), 0);
  const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(3);
  return [
    sum((rates) => rates.readsPerSecond).toFixed(0),
    sum((rates) => rates.writesPerSecond).toFixed(0),
    megabytes(sum((rates) => rates.readBytesPerSecond)),
    megabytes(sum((rates) => rates.writeBytesPerSecond)),
    '-',
    '-',
    `all ${lines.length}${left === 0 ? '' : ` (${left} not shown)`}`,
  ];
}
