import type { Command } from 'commander';
import {
  addReplica,
  killReplica,
  listReplicas,
  removeReplica,
  resizeVolume,
  scaleVolume,
} from './commands/replica.ts';
import type { CliContext } from './context.ts';

interface Running {
  readonly context: () => CliContext;
  readonly finish: (command: Promise<number>) => Promise<void>;
}

const WHICH = 'its number, its name (replica-2) or its id';

export function addReplicaCommands(program: Command, { context, finish }: Running): void {
  const replica = program
    .command('replica')
    .description('the copies of a volume: see, add, remove and kill');
  replica
    .command('list')
    .description('the replicas of a volume')
    .argument('<volume>')
    .action((name: string) => finish(listReplicas(context(), name)));
  replica
    .command('add')
    .description('one more; it is filled while the volume serves')
    .argument('<volume>')
    .option('--no-wait', 'return as soon as it is recorded')
    .action((name: string, options: { wait: boolean }) =>
      finish(addReplica(context(), name, options)),
    );
  replica
    .command('remove')
    .description('one less, with its data; refused when no other one holds everything')
    .argument('<volume>')
    .argument('<replica>', WHICH)
    .option('--no-wait', 'return as soon as it is recorded')
    .action((name: string, which: string, options: { wait: boolean }) =>
      finish(removeReplica(context(), name, which, options)),
    );
  replica
    .command('kill')
    .description('end its process as a failure would; it is started again')
    .argument('<volume>')
    .argument('<replica>', WHICH)
    .action((name: string, which: string) => finish(killReplica(context(), name, which)));
}

/** The two changes of a volume that its initiators need not stop for. */
export function addChangeCommands(
  volume: Command,
  { context, finish }: Running,
  parse: { size: (text: string) => string; replicas: (text: string) => number },
): void {
  volume
    .command('resize')
    .description('grow a volume while it is used')
    .argument('<name>')
    .requiredOption('--size <size>', 'the new size, as 2GiB; it cannot shrink', parse.size)
    .option('--no-wait', 'return as soon as it is recorded')
    .action((name: string, options: { size: string; wait: boolean }) =>
      finish(resizeVolume(context(), name, options)),
    );
  volume
    .command('scale')
    .description('change how many replicas a volume has')
    .argument('<name>')
    .requiredOption('--replicas <count>', 'copies of the data', parse.replicas)
    .option('--no-wait', 'return as soon as it is recorded')
    .action((name: string, options: { replicas: number; wait: boolean }) =>
      finish(scaleVolume(context(), name, options)),
    );
}
