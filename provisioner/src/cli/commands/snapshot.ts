import type { SnapshotView } from '../../orchestrator/orchestrator.ts';
import { formatSize } from '../../size.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { structured, table } from '../output.ts';

export async function createSnapshot(
  context: CliContext,
  volume: string,
  name: string,
): Promise<number> {
  const snapshot = await (await context.client()).createSnapshot(volume, name);
  const text = await structured(context.options.output, snapshot, [name]);
  const held = snapshot.heldMs === undefined ? '' : `; I/O waited ${Math.ceil(snapshot.heldMs)} ms`;
  context.out(text ?? `snapshot ${name} of volume ${volume} is made${held}\n`);
  return EXIT.ok;
}

export async function listSnapshots(context: CliContext, volume: string): Promise<number> {
  const { items } = await (await context.client()).snapshots(volume);
  const names = items.map(({ name }) => name);
  const text = await structured(context.options.output, items, names);
  context.out(text ?? context.hint(snapshotTable(volume, items)));
  return EXIT.ok;
}

export async function deleteSnapshot(
  context: CliContext,
  volume: string,
  name: string,
): Promise<number> {
  await (await context.client()).deleteSnapshot(volume, name);
  const text = await structured(context.options.output, { volume, name }, [name]);
  context.out(
    text ?? `snapshot ${name} of volume ${volume} is deleted; its space comes back soon\n`,
  );
  return EXIT.ok;
}

export async function revertVolume(
  context: CliContext,
  volume: string,
  name: string,
  options: { force: boolean },
): Promise<number> {
  const reverted = await (await context.client()).revertVolume(volume, name, options);
  const text = await structured(context.options.output, reverted, [reverted.keptAs]);
  context.out(
    text ??
      `volume ${volume} is again what snapshot ${name} is\n  what it was is kept as snapshot ${reverted.keptAs}\n`,
  );
  return EXIT.ok;
}

const NAME_WIDTH = 40;

export function snapshotTable(volume: string, snapshots: readonly SnapshotView[]): string {
  if (snapshots.length === 0) {
    return `No snapshots yet. Next: mayactl snapshot create ${volume} NAME\n`;
  }
  return table(
    ['NAME', 'CREATED', 'FREES'],
    snapshots.map(({ name, createdAt, freedBytes }) => [
      // The longest names would leave no room for the rest; -o wide and json have them whole.
      name.length > NAME_WIDTH ? `${name.slice(0, NAME_WIDTH - 3)}...` : name,
      createdAt.slice(0, 19).replace('T', ' '),
      freedBytes === null ? '-' : formatSize(freedBytes),
    ]),
  );
}
