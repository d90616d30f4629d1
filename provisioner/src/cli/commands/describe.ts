import type { LoggedEvent } from '../../api/event-log.ts';
import type { SnapshotView, VolumeStats } from '../../orchestrator/orchestrator.ts';
import { formatSize } from '../../size.ts';
import { counted, wrap } from '../../wrap.ts';
import { CliFailure, EXIT } from '../failure.ts';
import type { CliContext } from '../context.ts';
import { fields, structured } from '../output.ts';
import { snapshotTable } from './snapshot.ts';
import { volumeText } from './volume-text.ts';

const SHOWN_EVENTS = 10;
const SHOWN_SNAPSHOTS = 10;

/** Everything that is known of one volume. */
export async function describeVolume(context: CliContext, name: string): Promise<number> {
  const client = await context.client();
  const volume = await client.volume(name);
  const [stats, snapshots, events] = await Promise.all([
    whileServing(client.volumeStats(name)),
    whileServing(client.snapshots(name).then(({ items }) => items)),
    client.events(name),
  ]);
  const { output } = context.options;
  const text = await structured(output, { volume, stats, snapshots, events }, [name]);
  if (text !== null) {
    context.out(text);
    return EXIT.ok;
  }
  const sections = [
    volumeText(volume, { wide: output === 'wide', color: context.color, ids: true }),
    `I/O and space:\n${stats === null ? unknown : statsText(stats)}`,
    `Snapshots:\n${snapshots === null ? unknown : snapshotsText(context, name, snapshots)}`,
    `Events:\n${eventsText(events.slice(0, SHOWN_EVENTS))}`,
  ];
  context.out(sections.join('\n'));
  return EXIT.ok;
}

const unknown = '  unknown while the target does not answer\n';

/** Null where the volume does not serve: what is known besides is told all the same. */
async function whileServing<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof CliFailure && error.exitCode === EXIT.conflict) return null;
    throw error;
  }
}

function statsText(stats: VolumeStats): string {
  const text = fields([
    [
      'Reads',
      `${stats.reads}, ${formatSize(stats.readBytes)}${mean(stats.readSeconds, stats.reads)}`,
    ],
    [
      'Writes',
      `${stats.writes}, ${formatSize(stats.writeBytes)}${mean(stats.writeSeconds, stats.writes)}`,
    ],
    ['Unmaps, flushes', `${stats.unmaps}, ${stats.flushes}`],
    ['Errors', String(stats.errors)],
    ['Counted for', `${Math.floor(stats.uptimeSeconds)} s, since the target was started`],
    ['Data', stats.logicalBytes === null ? 'unknown' : `at most ${formatSize(stats.logicalBytes)}`],
    [
      'On each replica',
      stats.usedBytes === null ? 'unknown' : `${formatSize(stats.usedBytes)} with its snapshots`,
    ],
  ]);
  return indented(text);
}

function mean(seconds: number, count: number): string {
  return count === 0 ? '' : `, ${((1000 * seconds) / count).toFixed(3)} ms on average`;
}

function snapshotsText(
  { mayactl }: CliContext,
  volume: string,
  snapshots: readonly SnapshotView[],
): string {
  if (snapshots.length === 0) return '  none\n';
  const shown = snapshots.slice(-SHOWN_SNAPSHOTS);
  const left = snapshots.length - shown.length;
  const more =
    left === 0 ? '' : `and ${counted(left, 'older one')}: ${mayactl} snapshot list ${volume}\n`;
  return indented(snapshotTable(volume, shown) + more);
}

function eventsText(events: readonly LoggedEvent[]): string {
  if (events.length === 0) return '  none since the API server was started\n';
  return events
    .map(({ at, severity, message }) => {
      const mark = severity === 'warning' ? 'warning: ' : '';
      const line = `${at.slice(0, 19).replace('T', ' ')}  ${mark}${message}`;
      return `${wrap(line, { width: 76, indent: '    ' }).replace(/^ {4}/, '  ')}\n`;
    })
    .join('');
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}
