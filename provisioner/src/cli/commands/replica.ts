import type { Operation } from '../../api/operations.ts';
import type { ReplicaView, VolumeView } from '../../orchestrator/orchestrator.ts';
import type { ApiClient } from '../api-client.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { paintStatus, structured, table } from '../output.ts';
import { ProgressLine } from '../progress.ts';
import { replicaName } from './volume-text.ts';

export async function listReplicas(context: CliContext, name: string): Promise<number> {
  const { replicas } = await (await context.client()).volume(name);
  const { output } = context.options;
  const text = await structured(output, replicas, replicas.map(replicaName));
  context.out(text ?? replicaTable(replicas, { wide: output === 'wide', color: context.color }));
  return EXIT.ok;
}

export async function addReplica(
  context: CliContext,
  name: string,
  options: { wait: boolean },
): Promise<number> {
  return follow(context, name, options, (client) => client.addReplica(name));
}

export async function removeReplica(
  context: CliContext,
  name: string,
  replica: string,
  options: { wait: boolean },
): Promise<number> {
  return follow(context, name, options, (client) => client.removeReplica(name, replica));
}

export async function resizeVolume(
  context: CliContext,
  name: string,
  options: { size: string; wait: boolean },
): Promise<number> {
  const { size } = options;
  return follow(context, name, options, (client) => client.changeVolume(name, { size }));
}

export async function scaleVolume(
  context: CliContext,
  name: string,
  options: { replicas: number; wait: boolean },
): Promise<number> {
  const { replicas } = options;
  return follow(context, name, options, (client) => client.changeVolume(name, { replicas }));
}

export async function killReplica(
  context: CliContext,
  name: string,
  replica: string,
): Promise<number> {
  const volume = await (await context.client()).killReplica(name, replica);
  const text = await structured(context.options.output, volume, [name]);
  context.out(
    text ??
      `killed; it is started again and brought up to date\n  see: ${context.mayactl} volume info ${name} --watch\n`,
  );
  return EXIT.ok;
}

async function follow(
  context: CliContext,
  name: string,
  { wait }: { wait: boolean },
  begin: (client: ApiClient) => Promise<Operation>,
): Promise<number> {
  const client = await context.client();
  const begun = await begin(client);
  if (!wait) {
    const text = await structured(context.options.output, begun, [name]);
    context.out(
      text ?? `recorded, the volume follows; see: ${context.mayactl} volume info ${name} --watch\n`,
    );
    return EXIT.ok;
  }
  const progress = new ProgressLine();
  try {
    const { message } = await client.finish(begun, (operation) =>
      progress.show(operation.percent, operation.message),
    );
    progress.clear();
    const volume: VolumeView = await client.volume(name);
    const text = await structured(context.options.output, volume, [name]);
    context.out(text ?? `${message}\n`);
    return volume.status === 'degraded' ? EXIT.degraded : EXIT.ok;
  } finally {
    progress.clear();
  }
}

export function replicaTable(
  replicas: readonly ReplicaView[],
  options: { wide: boolean; color: boolean },
): string {
  return table(
    ['NAME', 'MODE', 'STATUS', 'ID', ...(options.wide ? ['NODE', 'DIRECTORY'] : [])],
    replicas.map((replica) => [
      replicaName(replica),
      replica.leaving ? `${replica.mode}, leaves` : replica.mode,
      paintStatus(replica.status, options.color),
      replica.id,
      ...(options.wide ? [replica.node, replica.directory] : []),
    ]),
  );
}
