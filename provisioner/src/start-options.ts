import { Command, InvalidArgumentError, Option } from 'commander';
import { dataDirFlag } from './data-dir-flag.ts';
import { environmentSwitch } from './environment-switch.ts';
import { defaultDataDirectory } from './server-file.ts';
import { API_PORT, ISCSI_PORT } from './limits.ts';
import { VERSION } from './version.ts';

export interface StartOptions {
  readonly dataDir: string;
  readonly apiPort: number;
  readonly iscsiPort: number;
  readonly demo: boolean;
}

/**
 * Parses, or prints what is wrong (or the help) and ends the process: 2 is the exit code of wrong
 * usage.
 */
export function parseStartOptions(argv: readonly string[]): StartOptions {
  const program = new Command('npm start --')
    .description(
      'The whole system on this host: API server, and every volume as a target and its replicas.',
    )
    .version(VERSION)
    .addOption(
      dataDirFlag('where volumes, records, tokens and logs are kept').default(
        defaultDataDirectory(),
      ),
    )
    .addOption(
      new Option('--api-port <port>', 'the API server; the next free port when it is busy, 0: any')
        .env('OPENEBS_API_PORT')
        .default(API_PORT)
        .argParser(portNumber),
    )
    .addOption(
      new Option('--iscsi-port <port>', 'portal of the first volume, the next ones follow; 0: any')
        .env('OPENEBS_ISCSI_PORT')
        .default(ISCSI_PORT)
        .argParser(portNumber),
    )
    .addOption(
      new Option(
        '--no-demo',
        'do not create the volume "demo" at the first start (env: OPENEBS_NO_DEMO=1)',
      ),
    )
    .addHelpText(
      'after',
      '\nEach option is also an environment variable. Ctrl-C stops everything and keeps the data.',
    )
    .configureHelp({ helpWidth: Math.min(process.stdout.columns, 100) || 80 })
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse([...argv], { from: 'user' });
  const options = program.opts<StartOptions>();
  const noDemo = environmentSwitch(program, 'OPENEBS_NO_DEMO');
  return { ...options, demo: options.demo && !noDemo };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new InvalidArgumentError('A port is a number from 0 to 65535.');
  }
  return port;
}
