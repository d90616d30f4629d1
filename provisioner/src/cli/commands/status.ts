import type { VolumeView } from '../../orchestrator/orchestrator.ts';
import { formatSize } from '../../size.ts';
import { durationText, wrap } from '../../wrap.ts';
import type { SystemStatus } from '../api-client.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { fields, paintStatus, structured } from '../output.ts';
import { damagedText, volumeTable } from './volume-text.ts';

const WIDTH = 80;
/** Volumes that fit on one screen below the summary. */
const SHOWN = 12;

/** One screen; volumes that need attention come first. */
export async function status(context: CliContext): Promise<number> {
  const client = await context.client();
  const system = await client.status();
  const exitCode = system.status === 'healthy' ? EXIT.ok : EXIT.degraded;
  const text = await structured(context.options.output, system, [system.status]);
  if (text !== null) {
    context.out(text);
    return exitCode;
  }
  const { items } = await client.volumes();
  context.out(summaryText(system, { url: client.url, color: context.color }));
  const order = { unavailable: 0, degraded: 1, starting: 2, deleting: 3, healthy: 4 } as const;
  const shown = [...items].sort((a, b) => order[a.status] - order[b.status]).slice(0, SHOWN);
  context.out(context.hint(`\n${volumeTable(shown, { wide: false, color: context.color })}`));
  const left = items.length - SHOWN;
  if (left > 0) context.out(`and ${left} more: ${context.mayactl} volume list\n`);
  for (const volume of shown) context.out(troubleText(volume));
  context.note(damagedText(system.damaged));
  return exitCode;
}

export function summaryText(
  system: SystemStatus,
  { url, color }: { url: string; color: boolean },
): string {
  const { volumes, version, pid, startedAt, nodes } = system;
  const counted = (['healthy', 'degraded', 'unavailable', 'starting', 'deleting'] as const)
    .filter((state) => volumes[state] > 0)
    .map((state) => `${volumes[state]} ${paintStatus(state, color)}`);
  const pools = system.pools.flatMap(({ name, path, freeBytes, capacityBytes }) => {
    const free =
      freeBytes === null || capacityBytes === null
        ? `${name}, on its nodes in`
        : `${name}: ${formatSize(freeBytes)} free of ${formatSize(capacityBytes)}, in`;
    return [['Pool', `${free}\n${INDENT}${shortened(path, WIDTH - INDENT.length)}`] as const];
  });
  return fields([
    ['Status', paintStatus(system.status, color)],
    ['API server', hanging(`${url} (version ${version}, process ${pid})`)],
    ['Running since', hanging(`${startedAt} on ${nodes.map(({ name }) => name).join(', ')}`)],
    [
      'Volumes',
      volumes.total === 0
        ? 'none'
        : `${counted.join(', ')}; ${formatSize(system.volumeBytes)} together`,
    ],
    ...pools,
  ]);
}

/** As wide as `Running since : `. */
const INDENT = ' '.repeat(16);

function hanging(text: string): string {
  return wrap(text, { width: WIDTH, indent: INDENT }).trimStart();
}

/** Begin and end tell paths apart; all of it is in the other formats. */
function shortened(path: string, width: number): string {
  if (path.length <= width) return path;
  const head = Math.floor((width - 3) / 3);
  return `${path.slice(0, head)}...${path.slice(path.length - (width - 3 - head))}`;
}

/** Why it is not healthy, for how long, and what is next. */
function troubleText({ name, status: state, since, reason, next }: VolumeView): string {
  if (state === 'healthy' || reason === null) return '';
  const age = durationText(Math.max(0, (Date.now() - Date.parse(since)) / 1000));
  const words = [
    `${name}, ${state} for ${age}: ${reason}`,
    ...(next === null ? [] : [`next: ${next}`]),
  ];
  const lines = words.map((each) => wrap(each, { width: WIDTH, indent: '  ' }).slice(2));
  return `\n${lines.join('\n  ')}\n`;
}
