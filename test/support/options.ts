import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';

type Values<T extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: T }>
>['values'];

/** Ends the process: the command line is wrong. */
export const refuse = (problem: string, help: string): never => {
  console.error(`${problem}\n\n${help}`);
  process.exit(2);
};

/** Of this process. With --help, or where they are wrong, it ends with the text. */
export const readOptions = <T extends ParseArgsOptionsConfig>(
  options: T & { help: { type: 'boolean' } },
  help: string,
): Values<T> => {
  let values: Values<T>;
  try {
    ({ values } = parseArgs<{ options: T }>({ options }));
  } catch (error) {
    return refuse((error as Error).message, help);
  }
  if ((values as { help?: boolean }).help !== true) return values;
  console.log(help);
  process.exit(0);
};
