import { randomUUID } from 'node:crypto';
import { chapBody, type ChapFlags } from '../chap-flags.ts';
import type { CliContext } from '../context.ts';
import { createAndTell } from './volume.ts';

export interface CloneOptions extends ChapFlags {
  readonly from: string;
  readonly snapshot?: string;
  readonly size?: string;
  readonly replicas?: number;
  readonly wait: boolean;
}

export async function cloneVolume(
  context: CliContext,
  name: string,
  options: CloneOptions,
): Promise<number> {
  const { from, snapshot, size, replicas, wait } = options;
  const chap = chapBody(options);
  const begun = await (
    await context.client()
  ).createVolume(
    {
      name,
      source: { volume: from, ...(snapshot === undefined ? {} : { snapshot }) },
      ...(size === undefined ? {} : { size }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(chap === null ? {} : { chap }),
    },
    randomUUID(),
  );
  return createAndTell(context, name, { begun, wait });
}
