import type { Command } from 'commander';

/**
 * Whether a variable switches something on: 1, true, yes, or 0, false, no; not where it is not set.
 * Commander takes any value for yes, also 0. Any other ends the process as wrong usage does.
 */
export function environmentSwitch(program: Command, variable: string): boolean {
  const text = process.env[variable];
  if (text === undefined || /^(?:0|false|no)$/i.test(text)) return false;
  if (/^(?:1|true|yes)$/i.test(text)) return true;
  return program.error(
    `error: ${variable} is "${text}"; allowed are 1, true, yes, and 0, false, no`,
    { exitCode: 2 },
  );
}
