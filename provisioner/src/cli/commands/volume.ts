import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import type { Operation } from '../../api/operations.ts';
import { formatSize, parseSize } from '../../size.ts';
import { chapBody, type ChapFlags } from '../chap-flags.ts';
import type { CliContext } from '../context.ts';
import { CliFailure, EXIT } from '../failure.ts';
import { structured } from '../output.ts';
import { ProgressLine } from '../progress.ts';
import { connectText } from './connect-text.ts';
import { damagedText, volumeTable, volumeText } from './volume-text.ts';

export async function createVolume(
  context: CliContext,
  name: string,
  options: { size: string; replicas: number; wait: boolean } & ChapFlags,
): Promise<number> {
  const { size, replicas, wait } = options;
  const chap = chapBody(options);
  const client = await context.client();
  const body = { name, size, replicas, ...(chap === null ? {} : { chap }) };
  const begun = await client.createVolume(body, randomUUID());
  return createAndTell(context, name, { begun, wait });
}

/** Follows a creation until the volume serves, and tells how to use it. */
export async function createAndTell(
  context: CliContext,
  name: string,
  { begun, wait }: { begun: Operation; wait: boolean },
): Promise<number> {
  const client = await context.client();
  if (!wait) {
    const text = await structured(context.options.output, begun, [name]);
    context.out(
      text ?? `volume ${name} is being created; see: ${context.mayactl} volume info ${name}\n`,
    );
    return EXIT.ok;
  }
  const progress = new ProgressLine();
  let message: string;
  try {
    ({ message } = await client.finish(begun, (operation) =>
      progress.show(operation.percent, operation.message),
    ));
  } finally {
    progress.clear();
  }
  const volume = await client.volume(name);
  const text = await structured(context.options.output, volume, [name]);
  const lines = [
    message,
    `  ${volume.sizeText}, ${volume.inSyncCount} of ${volume.replicaCount} replicas in sync`,
    `  ${volume.iqn} at ${volume.portal}`,
    `  next: ${context.mayactl} volume connect ${name}`,
  ];
  context.out(text ?? `${lines.join('\n')}\n`);
  return volume.status === 'degraded' ? EXIT.degraded : EXIT.ok;
}

export async function listVolumes(context: CliContext): Promise<number> {
  const { items, damaged } = await (await context.client()).volumes();
  const { output } = context.options;
  const names = items.map(({ name }) => name);
  const text = await structured(output, { items, damaged }, names);
  const shown = volumeTable(items, { wide: output === 'wide', color: context.color });
  context.out(text ?? context.hint(shown));
  context.note(damagedText(damaged));
  return EXIT.ok;
}

export async function volumeInfo(context: CliContext, name: string): Promise<number> {
  const volume = await (await context.client()).volume(name);
  const { output } = context.options;
  const text = await structured(output, volume, [name]);
  context.out(text ?? volumeText(volume, { wide: output === 'wide', color: context.color }));
  return EXIT.ok;
}

/** For logins to come; whoever is logged in stays. */
export async function setChap(
  context: CliContext,
  name: string,
  options: ChapFlags & { none: boolean },
): Promise<number> {
  const chap = chapBody(options);
  if ((chap === null) !== options.none) {
    throw new CliFailure(EXIT.usage, 'give --chap-user and --chap-secret-file, or --none');
  }
  const client = await context.client();
  const begun = await client.changeVolume(name, { chap });
  const text = await structured(context.options.output, begun, [name]);
  const who = chap === null ? 'whoever reaches its portal' : `${chap.user}, who proves it`;
  const lines = [
    `volume ${name} lets in ${who}; sessions that are open stay`,
    `  next: ${context.mayactl} volume connect ${name}`,
  ];
  context.out(text ?? `${lines.join('\n')}\n`);
  return EXIT.ok;
}

/** For the rebuild that runs, and all later ones. Null: no limit. */
export async function setRebuildRate(
  context: CliContext,
  name: string,
  { limit, none }: { readonly limit?: string; readonly none: boolean },
): Promise<number> {
  if ((limit === undefined) !== none) {
    throw new CliFailure(EXIT.usage, 'give --limit SIZE, of a second, or --none', {
      next: `${context.mayactl} volume set-rebuild-rate ${name} --limit 32MiB`,
    });
  }
  const rebuildBytesPerSecond = limit === undefined ? null : parseSize(limit);
  const client = await context.client();
  const begun = await client.changeVolume(name, { rebuildBytesPerSecond });
  const text = await structured(context.options.output, begun, [name]);
  const rate =
    rebuildBytesPerSecond === null
      ? 'as fast as its application lets them'
      : `with at most ${formatSize(rebuildBytesPerSecond)} in a second`;
  context.out(text ?? `replicas of volume ${name} that come back are filled ${rate}\n`);
  return EXIT.ok;
}

export async function connectVolume(context: CliContext, name: string): Promise<number> {
  const volume = await (await context.client()).volume(name);
  const { iqn, portal, lun } = volume;
  const facts = { iqn, portal, lun, url: `iscsi://${portal}/${iqn}/${lun}` };
  context.out(
    (await structured(context.options.output, facts, [facts.url])) ?? connectText(volume),
  );
  if (volume.status === 'healthy' || volume.status === 'degraded') return EXIT.ok;
  context.note(`warning: the volume is ${volume.status}: ${volume.reason ?? ''}\n`);
  return EXIT.degraded;
}

export async function deleteVolume(
  context: CliContext,
  name: string,
  options: { yes: boolean; force: boolean },
): Promise<number> {
  const client = await context.client();
  const volume = await client.volume(name);
  if (!options.yes) {
    await confirm(`Delete volume ${name} (${volume.sizeText}) with all its data`, name);
  }
  const progress = new ProgressLine();
  try {
    const begun = await client.deleteVolume(name, { force: options.force });
    const done = await client.finish(begun, ({ percent, message }) =>
      progress.show(percent, message),
    );
    progress.clear();
    const text = await structured(context.options.output, done, [name]);
    context.out(text ?? `${done.message}\n`);
  } finally {
    progress.clear();
  }
  return EXIT.ok;
}

/** The name has to be typed: a habitual "y" has deleted volumes before. */
async function confirm(question: string, name: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new CliFailure(EXIT.usage, 'there is no terminal to ask on', {
      next: `add --yes: mayactl volume delete ${name} --yes`,
    });
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`${question}? Type its name to go on: `);
    if (answer.trim() === name) return;
  } catch {
    // Ctrl-D or Ctrl-C at the question.
  } finally {
    lines.close();
  }
  throw new CliFailure(EXIT.error, 'nothing was deleted');
}
