import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../support/daemons.ts';

/** What the last stage of docker/Dockerfile says of the image. */
export interface Dockerfile {
  /** Of the checkout, as they are. */
  readonly copies: readonly string[];
  /** Command lines, each with the user as whom it runs. */
  readonly runs: readonly { readonly user: string; readonly command: readonly string[] }[];
  readonly workingDirectory: string;
  readonly environment: readonly string[];
  readonly user: string;
  readonly entrypoint: readonly string[];
}

export const readDockerfile = (): Dockerfile => {
  const text = readFileSync(join(REPOSITORY, 'docker', 'Dockerfile'), 'utf8');
  const copies: string[] = [];
  const runs: { user: string; command: readonly string[] }[] = [];
  const environment: string[] = [];
  let workingDirectory = '/';
  let user = '0:0';
  let entrypoint: readonly string[] = [];
  for (const line of text
    .slice(text.lastIndexOf('\nFROM ') + 1)
    .split('\n')
    .slice(1)) {
    const [, instruction, rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (instruction === 'COPY') {
      if (!rest.startsWith('--from=')) copies.push(...rest.split(' ').slice(0, -1));
    } else if (instruction === 'RUN') runs.push({ user, command: wordsOf(rest) });
    else if (instruction === 'ENV') environment.push(rest);
    else if (instruction === 'WORKDIR') workingDirectory = rest;
    else if (instruction === 'USER') user = rest;
    else if (instruction === 'ENTRYPOINT') entrypoint = wordsOf(rest);
    else if (instruction !== undefined && instruction !== 'CMD')
      throw new Error(`docker/Dockerfile: ${instruction} is not known here`);
  }
  return { copies, runs, workingDirectory, environment, user, entrypoint };
};

/** The form that needs no shell. */
const wordsOf = (list: string): string[] => JSON.parse(list) as string[];
