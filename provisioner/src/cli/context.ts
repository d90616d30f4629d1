import { connect, type ConnectionOptions } from './connection.ts';
import type { ApiClient } from './api-client.ts';
import { colorAllowed, type OutputFormat } from './output.ts';

export interface GlobalOptions extends ConnectionOptions {
  readonly output: OutputFormat;
}

/** What a command works with. */
export interface CliContext {
  readonly options: GlobalOptions;
  readonly color: boolean;
  /** How a command line that works here begins, for the hints. */
  readonly mayactl: string;
  /** The words with each `mayactl volume ...` in them so that it works here. */
  hint(words: string): string;
  client(): Promise<ApiClient>;
  out(text: string): void;
  note(text: string): void;
}

const COMMANDS = /\bmayactl (?=(?:volume|snapshot|clone|replica|status|doctor|events|top|dump)\b)/g;

export function makeContext(options: GlobalOptions): CliContext {
  const mayactl =
    commandName() + (options.dataDir === undefined ? '' : ` --data-dir ${options.dataDir}`);
  return {
    options,
    color: colorAllowed(process.stdout),
    mayactl,
    hint: (words) => words.replace(COMMANDS, () => `${mayactl} `),
    client: () => connect(options),
    out: (text) => process.stdout.write(text),
    note: (text) => process.stderr.write(text),
  };
}

/** As it was called: npx finds it where the shell does not. */
export function commandName(): string {
  return process.env['npm_command'] === 'exec' ? 'npx mayactl' : 'mayactl';
}
