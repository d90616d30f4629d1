import type { Command } from 'commander';
import { cloneVolume, type CloneOptions } from './commands/clone.ts';
import {
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  revertVolume,
} from './commands/snapshot.ts';
import { addChapFlags } from './chap-flags.ts';
import type { CliContext } from './context.ts';

interface Running {
  readonly context: () => CliContext;
  readonly finish: (command: Promise<number>) => Promise<void>;
}

const NAME = 'lower-case letters, digits and hyphens, at most 63';

export function addSnapshotCommands(program: Command, { context, finish }: Running): void {
  const snapshot = program.command('snapshot').description('points of a volume to go back to');
  snapshot
    .command('create')
    .description('take a snapshot, as after a power failure; I/O waits a second at most')
    .argument('<volume>')
    .argument('<name>', NAME)
    .action((volume: string, name: string) => finish(createSnapshot(context(), volume, name)));
  snapshot
    .command('list')
    .description('snapshots of a volume, and what deleting each would give back')
    .argument('<volume>')
    .action((volume: string) => finish(listSnapshots(context(), volume)));
  snapshot
    .command('revert')
    .description('make the volume again what a snapshot is; what it was is kept as another one')
    .argument('<volume>')
    .argument('<name>')
    .option('--force', 'also while initiators are logged in, which destroys what they mount', false)
    .action((volume: string, name: string, options: { force: boolean }) =>
      finish(revertVolume(context(), volume, name, options)),
    );
  snapshot
    .command('delete')
    .description('delete a snapshot')
    .argument('<volume>')
    .argument('<name>')
    .action((volume: string, name: string) => finish(deleteSnapshot(context(), volume, name)));
}

export function addCloneCommands(
  program: Command,
  { context, finish }: Running,
  parse: { size: (text: string) => string; replicas: (text: string) => number },
): void {
  const clone = program.command('clone').description('volumes that begin as another one was');
  const create = clone
    .command('create')
    .description('make a volume of a snapshot; both share its blocks until one writes its own')
    .argument('<name>', NAME)
    .requiredOption('--from <volume>', 'the volume that is cloned; it may be in use')
    .option('--snapshot <name>', 'which of its snapshots; without this one is taken first')
    .option('--size <size>', 'more than the snapshot has, as 2GiB', parse.size)
    .option(
      '--replicas <count>',
      'at most as many as it has in sync, and no less as a rule',
      parse.replicas,
    )
    .option('--no-wait', 'return as soon as it is made');
  addChapFlags(create).action((name: string, options: CloneOptions) =>
    finish(cloneVolume(context(), name, options)),
  );
}
