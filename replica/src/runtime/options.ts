import type { Command as CommanderCommand } from 'commander';
import type * as Commander from 'commander';

const { createRequire } = process.getBuiltinModule('node:module');

const ENVIRONMENT_PREFIX = 'OPENEBS_';
/** As most Unix tools: 2 for a wrong command line. */
const USAGE_EXIT_CODE = 2;

export interface Flag<T> {
  /** `--size <size>`: the long name decides the environment variable, OPENEBS_SIZE. */
  readonly flags: string;
  /** One sentence with the unit; the variable and the default are added to it. */
  readonly description: string;
  /** Throws an Error whose message says what is allowed. */
  readonly parse: (text: string) => T;
  readonly default?: { readonly value: T; readonly text: string };
  readonly required?: boolean;
}

/**
 * The command line of a daemon. Every flag can also be given as an environment variable; the
 * command line wins. Wrong usage ends the process with code 2 and a sentence that says what is
 * allowed.
 */
export class DaemonOptions {
  readonly #command: CommanderCommand;
  readonly #commander: typeof Commander;

  constructor({
    name,
    description,
    version,
  }: {
    readonly name: string;
    readonly description: string;
    readonly version: string;
  }) {
    this.#commander = createRequire(import.meta.url)('commander') as typeof Commander;
    this.#command = new this.#commander.Command(name)
      .description(description)
      .version(version)
      .helpOption('-h, --help', 'print this help')
      .allowExcessArguments(false)
      .showHelpAfterError('(--help lists the flags)')
      .configureHelp({ helpWidth: 100 })
      .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : USAGE_EXIT_CODE));
  }

  /**
   * Call the returned function after parse(). Null where the flag was not given and has no default.
   */
  flag<T>(flag: Flag<T>): () => T | null {
    const option = this.#option(flag);
    option.argParser((text: string) => this.#parsed(flag, text));
    if (flag.default !== undefined) option.default(flag.default.value, flag.default.text);
    this.#command.addOption(option);
    return () => this.#command.opts<Record<string, T>>()[option.attributeName()] ?? null;
  }

  /** As `flag`, required: parse() ends the process where it is missing. */
  requiredFlag<T>(flag: Flag<T>): () => T {
    const read = this.flag({ ...flag, required: true });
    return () => read() as T;
  }

  /** May be given several times; the environment variable holds a list with commas. */
  repeatedFlag<T>(flag: Flag<T>): () => readonly T[] {
    const values: T[] = [];
    const option = this.#option({
      ...flag,
      description:
        `${flag.description} May be given several times; the variable holds a list ` +
        'with commas.',
    });
    option.argParser((text: string) => {
      for (const each of text.split(',')) values.push(this.#parsed(flag, each.trim()));
      return values;
    });
    if (flag.default !== undefined) option.default(undefined, flag.default.text);
    this.#command.addOption(option);
    return () =>
      values.length === 0 && flag.default !== undefined ? [flag.default.value] : values;
  }

  /** A flag without a value; its environment variable is 1, true, yes, or 0, false, no. */
  switch({
    flags,
    description,
  }: {
    readonly flags: string;
    readonly description: string;
  }): () => boolean {
    const option = new this.#commander.Option(flags, description);
    const variable = environmentName(option.long);
    option.description = `${description} (env: ${variable}=1)`;
    this.#command.addOption(option);
    return () => {
      const text = process.env[variable];
      if (text !== undefined && !/^(?:1|true|yes|0|false|no)$/i.test(text)) {
        this.fail(`${variable} is "${text}"; allowed are 1, true, yes, and 0, false, no`);
      }
      const isGiven = this.#command.opts<Record<string, boolean>>()[option.attributeName()];
      return isGiven === true || /^(?:1|true|yes)$/i.test(text ?? '');
    };
  }

  parse(argv: readonly string[] = process.argv): void {
    this.#command.parse(argv);
  }

  /** For what concerns several flags at once. Ends the process. */
  fail(message: string): never {
    return this.#command.error(`error: ${message}`, { exitCode: USAGE_EXIT_CODE });
  }

  #option<T>(flag: Flag<T>): Commander.Option {
    const option = new this.#commander.Option(flag.flags, flag.description);
    option.env(environmentName(option.long));
    if (flag.required === true) option.makeOptionMandatory();
    return option;
  }

  #parsed<T>(flag: Flag<T>, text: string): T {
    // A variable that is set to nothing would be this directory, or any host, by chance.
    if (text.trim() === '') {
      throw new this.#commander.InvalidArgumentError('It is empty: give a value, or leave it out.');
    }
    try {
      return flag.parse(text);
    } catch (error) {
      if (error instanceof this.#commander.InvalidArgumentError) throw error;
      throw new this.#commander.InvalidArgumentError(error instanceof Error ? error.message : '');
    }
  }
}

const environmentName = (long: string | undefined): string =>
  ENVIRONMENT_PREFIX + (long ?? '').replace(/^--/, '').replaceAll('-', '_').toUpperCase();

/** A parser for a flag that takes one of a few words. */
export const oneOf =
  <const Words extends readonly string[]>(words: Words) =>
  (text: string): Words[number] => {
    if (words.includes(text)) return text;
    throw new RangeError(`Allowed are ${words.join(', ')}.`);
  };
