import { setTimeout as delay } from 'node:timers/promises';
import type { VolumeView } from '../../orchestrator/orchestrator.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { rebuildText, replicaName, volumeText } from './volume-text.ts';

const PERIOD_MS = 1_000;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

/**
 * Until Ctrl-C: on a terminal the whole picture, drawn anew; elsewhere a line for each change, for
 * logs.
 */
export async function watchVolume(context: CliContext, name: string): Promise<number> {
  const client = await context.client();
  const wide = context.options.output === 'wide';
  let told = '';
  for (;;) {
    const volume = await client.volume(name);
    if (process.stdout.isTTY) {
      context.out(`${CLEAR_SCREEN}${volumeText(volume, { wide, color: context.color })}`);
    } else {
      const line = changeLine(volume);
      if (line !== told) context.out(`${new Date().toISOString()} ${line}\n`);
      told = line;
    }
    if (volume.status === 'deleting') return EXIT.ok;
    await delay(PERIOD_MS);
  }
}

export function changeLine(volume: VolumeView): string {
  const replicas = volume.replicas.map((replica) => {
    const rebuild = replica.resync === null ? '' : ` ${rebuildText(replica)}`;
    return `${replicaName(replica)} ${replica.mode}${replica.leaving ? ', leaves' : ''}${rebuild}`;
  });
  return [volume.status, volume.sizeText, ...replicas].join('; ');
}
