import type { VolumeView } from '../../orchestrator/orchestrator.ts';
import { formatSize } from '../../size.ts';
import { durationText, wrap } from '../../wrap.ts';
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
  const { volumes } = system;
  const counted = (['healthy', 'degraded', 'unavailable', 'starting', 'deleting'] as const)
    .filter((state) => volumes[state] > 0)
    .map((state) => `${volumes[state]} ${paintStatus(state, context.color)}`);
  const pools = system.pools.map(
    ({ name, path, freeBytes, capacityBytes }) =>
      [
        'Pool',
        freeBytes === null || capacityBytes === null
          ? `${name}: ${path} of its nodes`
          : `${name}: ${formatSize(freeBytes)} free of ${formatSize(capacityBytes)} (${path})`,
      ] as const,
  );
  context.out(
    fields([
      ['Status', paintStatus(system.status, context.color)],
      ['API server', `${client.url} (version ${system.version}, process ${system.pid})`],
      [
        'Running since',
        `${system.startedAt} on ${system.nodes.map(({ name }) => name).join(', ')}`,
      ],
      [
        'Volumes',
        volumes.total === 0
          ? 'none'
          : `${counted.join(', ')}; ${formatSize(system.volumeBytes)} together`,
      ],
      ...pools,
    ]),
  );
  const order = { unavailable: 0, degraded: 1, starting: 2, deleting: 3, healthy: 4 } as const;
  const shown = [...items].sort((a, b) => order[a.status] - order[b.status]).slice(0, SHOWN);
  context.out(`\n${volumeTable(shown, { wide: false, color: context.color })}`);
  if (items.length > SHOWN) context.out(`and ${items.length - SHOWN} more: mayactl volume list\n`);
  for (const volume of shown) context.out(troubleText(volume));
  context.note(damagedText(system.damaged));
  return exitCode;
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
