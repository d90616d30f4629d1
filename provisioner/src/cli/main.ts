import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { dataDirFlag } from '../data-dir-flag.ts';
import { DEFAULT_REPLICAS, MAX_REPLICAS } from '../limits.ts';
import { parseSize } from '../size.ts';
import { VERSION } from '../version.ts';
import { completion, SHELLS } from './commands/completion.ts';
import { scrubVolume } from './commands/scrub.ts';
import { status } from './commands/status.ts';
import {
  connectVolume,
  createVolume,
  deleteVolume,
  listVolumes,
  setChap,
  setRebuildRate,
} from './commands/volume.ts';
import { addChapFlags, type ChapFlags } from './chap-flags.ts';
import { commandName, makeContext, type CliContext, type GlobalOptions } from './context.ts';
import { doctor } from './doctor/doctor.ts';
import { CliFailure, EXIT } from './failure.ts';
import { dump } from './dump/dump.ts';
import { addLookCommands, addWatchCommands } from './look-commands.ts';
import { OUTPUT_FORMATS } from './output.ts';
import { addChangeCommands, addReplicaCommands } from './replica-commands.ts';
import { addCloneCommands, addSnapshotCommands } from './snapshot-commands.ts';

/** Runs one command and gives the exit code. */
async function run(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program: Command = makeProgram(async (command) => {
    exitCode = await command;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, makeContext(program.opts<GlobalOptions>()));
  }
}

function makeProgram(finish: (command: Promise<number>) => Promise<void>): Command {
  const program = new Command('mayactl')
    .description('Volumes of an OpenEBS system.')
    .version(VERSION)
    .addOption(dataDirFlag('find the system that runs in this directory'))
    .addOption(new Option('--server <url>', 'find it by its API server').env('OPENEBS_SERVER'))
    .addOption(new Option('--token <token>', "the API server's token").env('OPENEBS_TOKEN'))
    .addOption(
      new Option('--kubeconfig <file>', 'find it in the Kubernetes cluster of this file').env(
        'OPENEBS_KUBECONFIG',
      ),
    )
    .addOption(
      new Option('-n, --namespace <name>', 'namespace of OpenEBS there')
        .env('OPENEBS_NAMESPACE')
        .default('openebs'),
    )
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table'),
    )
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, 5 unreachable,\n6 degraded.',
    )
    .showSuggestionAfterError()
    .configureHelp({
      helpWidth: Math.min(process.stdout.columns || 80, 100),
      showGlobalOptions: true,
    });
  const context = (): CliContext => makeContext(program.opts<GlobalOptions>());
  addVolumeCommands(program, context, finish);
  addSnapshotCommands(program, { context, finish });
  addCloneCommands(program, { context, finish }, { size: sizeText, replicas: replicaCount });
  addReplicaCommands(program, { context, finish });
  program
    .command('status')
    .description('the whole system on one screen; exit code 6 when something is not healthy')
    .action(() => finish(status(context())));
  addWatchCommands(program, { context, finish });
  program
    .command('doctor')
    .description('check what volumes and their initiators need; each finding comes with its fix')
    .action(() => finish(doctor(context())));
  program
    .command('dump')
    .description('an archive for those who help: state, checks and logs, without secrets')
    .option('--file <path>', 'where it is written')
    .action((options: { file?: string }) => finish(dump(context(), { file: options.file })));
  program
    .command('completion')
    .description('print a completion script')
    .addArgument(program.createArgument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', '\nbash: source <(mayactl completion bash)')
    .action((shell: string) => finish(completion(context(), program, shell)));
  // Not only the top level: a subcommand's wrong usage is told the same way.
  for (const command of [
    program,
    ...program.commands,
    ...program.commands.flatMap((c) => c.commands),
  ]) {
    command.exitOverride();
    command.showHelpAfterError(`  next: ${commandName()} ${pathOf(command)}--help`);
  }
  return program;
}

function addVolumeCommands(
  program: Command,
  context: () => CliContext,
  finish: (command: Promise<number>) => Promise<void>,
): void {
  const volume = program.command('volume').description('create, see, connect and delete volumes');
  const create = volume
    .command('create')
    .description('create a volume and wait until it serves')
    .argument('<name>', 'lower-case letters, digits and hyphens, at most 63')
    .requiredOption('--size <size>', '1GiB, 500MiB, 2TiB; rounded up to 4 KiB', sizeText)
    .option(
      '--replicas <count>',
      `copies of the data, 1 to ${MAX_REPLICAS}`,
      replicaCount,
      DEFAULT_REPLICAS,
    )
    .option('--no-wait', 'return as soon as it is recorded');
  addChapFlags(create).action(
    (name: string, options: { size: string; replicas: number; wait: boolean } & ChapFlags) =>
      finish(createVolume(context(), name, options)),
  );
  const chap = volume
    .command('set-chap')
    .description('say who may log in from now on; sessions that are open stay')
    .argument('<name>')
    .option('--none', 'whoever reaches the portal', false);
  addChapFlags(chap).action((name: string, options: ChapFlags & { none: boolean }) =>
    finish(setChap(context(), name, options)),
  );
  volume
    .command('set-rebuild-rate')
    .description('limit what is copied in a second to replicas that come back')
    .argument('<name>')
    .option('--limit <size>', '32MiB, 1GiB: of a second', rateText)
    .option('--none', 'no limit: as fast as the application lets it', false)
    .action((name: string, options: { limit?: string; none: boolean }) =>
      finish(setRebuildRate(context(), name, options)),
    );
  volume
    .command('list')
    .description('all volumes')
    .action(() => finish(listVolumes(context())));
  addLookCommands(volume, { context, finish });
  addChangeCommands(volume, { context, finish }, { size: sizeText, replicas: replicaCount });
  volume
    .command('connect')
    .description('the exact commands for open-iscsi, libiscsi and QEMU')
    .argument('<name>')
    .action((name: string) => finish(connectVolume(context(), name)));
  volume
    .command('scrub')
    .description('verify every block of all its replicas, and repair what is bad')
    .argument('<name>')
    .option('--watch', 'wait until it is done; exit code 6 when blocks are lost', false)
    .action((name: string, options: { watch: boolean }) =>
      finish(scrubVolume(context(), name, options)),
    );
  volume
    .command('delete')
    .description('delete a volume with all its data')
    .argument('<name>')
    .option('-y, --yes', 'do not ask', false)
    .option('--force', 'also while initiators are logged in', false)
    .action((name: string, options: { yes: boolean; force: boolean }) =>
      finish(deleteVolume(context(), name, options)),
    );
}

/** `volume create `; nothing for the program itself. */
function pathOf(command: Command): string {
  return command.parent === null ? '' : `${pathOf(command.parent)}${command.name()} `;
}

function sizeText(text: string): string {
  if (parseSize(text) === null) {
    throw new InvalidArgumentError('A size is written like 1GiB, 500MiB, 2TiB.');
  }
  return text;
}

function rateText(text: string): string {
  if ((parseSize(text) ?? 0) > 0) return text;
  throw new InvalidArgumentError('It is a size above 0, like 32MiB; without limit: --none.');
}

function replicaCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MAX_REPLICAS) {
    throw new InvalidArgumentError(`It is a number from 1 to ${MAX_REPLICAS}.`);
  }
  return count;
}

function report(error: unknown, context: CliContext): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof CliFailure) {
    process.stderr.write(`error: ${error.message}\n`);
    if (error.next !== null) process.stderr.write(`  next: ${context.hint(error.next)}\n`);
    return error.exitCode;
  }
  const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`error: ${words}\n`);
  return EXIT.error;
}

// A reader that closes early (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await run(process.argv.slice(2));
