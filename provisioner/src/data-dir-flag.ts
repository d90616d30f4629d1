import { InvalidArgumentError, Option } from 'commander';

/** `--data-dir`, the same for everything that takes it. */
export function dataDirFlag(description: string): Option {
  return new Option('--data-dir <directory>', description)
    .env('OPENEBS_DATA_DIR')
    .argParser(directoryText);
}

function directoryText(text: string): string {
  // It would be the current directory, by chance.
  if (text.trim() === '') {
    throw new InvalidArgumentError('It is empty: give a directory, or leave it out.');
  }
  return text;
}
