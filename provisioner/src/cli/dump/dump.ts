import { existsSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ADMIN_TOKEN_FILE, READ_ONLY_TOKEN_FILE, readTokenFile } from '../../api/token-files.ts';
import { defaultDataDirectory } from '../../server-file.ts';
import { formatSize } from '../../size.ts';
import { VERSION } from '../../version.ts';
import type { ApiClient } from '../api-client.ts';
import type { CliContext } from '../context.ts';
import { findingsOf, findingsText } from '../doctor/doctor.ts';
import { CliFailure, EXIT } from '../failure.ts';
import { structured } from '../output.ts';
import { ProgressLine } from '../progress.ts';
import { logTails } from './log-tails.ts';
import { redact } from './redact.ts';
import { tarOf } from './tar.ts';

/**
 * One archive with what somebody who helps wants to see: what the system says of itself, what was
 * checked on this host, and the ends of the logs. A part that cannot be had is named in it, and
 * costs no other: who needs help may have a system that does not answer.
 */
export async function dump(
  context: CliContext,
  options: { readonly file: string | undefined },
): Promise<number> {
  const now = new Date();
  const stamp = now.toISOString().slice(0, 19).replaceAll(':', '-');
  const file = resolve(options.file ?? `openebs-dump-${stamp}.tar.gz`);
  const progress = new ProgressLine();
  progress.show(0, 'asks the system');
  const parts = new Parts();
  await gather(context, parts);
  progress.clear();
  const known = await secretsOf(context);
  const root = `openebs-dump-${stamp}`;
  const entries = parts.all().map(({ path, text }) => ({
    path: `${root}/${path}`,
    body: Buffer.from(redact(text, known)),
  }));
  write(file, gzipSync(tarOf(entries, now)));
  const missing = parts.missing;
  const outcome = { file, files: entries.length, missing };
  const text = await structured(context.options.output, outcome, [file]);
  const lines = [
    file,
    `  ${entries.length} files, no secrets; look before you send it: tar -tzf ${file}`,
    ...missing.map((words) => `  left out: ${words}`),
  ];
  context.out(text ?? `${lines.join('\n')}\n`);
  return EXIT.ok;
}

class Parts {
  readonly missing: string[] = [];
  readonly #parts: { readonly path: string; readonly text: string }[] = [];

  add(path: string, text: string): void {
    this.#parts.push({ path, text });
  }

  /** Null where it cannot be had. */
  async ask<T>(path: string, value: Promise<T>): Promise<T | null> {
    try {
      const found = await value;
      this.add(path, typeof found === 'string' ? found : `${JSON.stringify(found, null, 2)}\n`);
      return found;
    } catch (error) {
      this.lacks(path, error);
      return null;
    }
  }

  lacks(path: string, error: unknown): void {
    this.missing.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }

  all(): readonly { readonly path: string; readonly text: string }[] {
    const words = this.missing.length === 0 ? ['nothing'] : this.missing;
    return [...this.#parts, { path: 'left-out.txt', text: `${words.join('\n')}\n` }];
  }
}

async function gather(context: CliContext, parts: Parts): Promise<void> {
  parts.add('host.json', `${JSON.stringify(hostFacts(), null, 2)}\n`);
  const findings = findingsOf(context).then((found) => findingsText(found, false));
  await parts.ask('doctor.txt', findings);
  let client: ApiClient;
  try {
    client = await context.client();
    await parts.ask('status.json', client.status());
    await askVolumes(client, parts);
    await parts.ask('events.json', client.events(null));
    await parts.ask('operations.json', client.operations());
    await parts.ask('metrics.txt', client.metrics());
  } catch (error) {
    parts.lacks('what the system says', error);
  }
  // The logs of a system that is somewhere else are there.
  const { server, kubeconfig, dataDir } = context.options;
  if (kubeconfig !== undefined || (server !== undefined && dataDir === undefined)) return;
  const logs = join(dataDirectoryOf(context), 'logs');
  try {
    for (const { path, text } of logTails(logs)) parts.add(`logs/${path}`, text);
  } catch (error) {
    parts.lacks('logs', error);
  }
}

async function askVolumes(client: ApiClient, parts: Parts): Promise<void> {
  const volumes = await parts.ask('volumes.json', client.volumes());
  for (const { name } of volumes?.items ?? []) {
    await parts.ask(`volumes/${name}/volume.json`, client.volume(name));
    await parts.ask(`volumes/${name}/stats.json`, client.volumeStats(name));
    await parts.ask(`volumes/${name}/snapshots.json`, client.snapshots(name));
  }
}

function hostFacts(): object {
  return {
    mayactl: VERSION,
    runtime: `Node.js ${process.version}`,
    kernel: release(),
    architecture: arch(),
    processors: cpus().length,
    memory: formatSize(totalmem()),
  };
}

function dataDirectoryOf({ options }: CliContext): string {
  return resolve(options.dataDir ?? defaultDataDirectory());
}

/** Tokens are in no answer; should a log have one all the same, it is known. */
async function secretsOf(context: CliContext): Promise<readonly string[]> {
  const directory = dataDirectoryOf(context);
  const files = [ADMIN_TOKEN_FILE, READ_ONLY_TOKEN_FILE].map((name) => join(directory, name));
  const found = await Promise.all(files.map((file) => readTokenFile(file).catch(() => null)));
  return [...found, context.options.token].filter((token) => token != null);
}

function write(file: string, archive: Buffer): void {
  if (existsSync(file)) {
    throw new CliFailure(EXIT.conflict, `${file} exists already`, {
      next: 'name another one with --file, or remove it',
    });
  }
  try {
    writeFileSync(file, archive, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new CliFailure(EXIT.error, `${file} cannot be written: ${(error as Error).message}`, {
      next: 'name a place for it with --file',
      cause: error,
    });
  }
}
