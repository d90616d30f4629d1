import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { runTool } from '../support/tool.ts';

export interface ImageOptions {
  /** As `docker.io/openebs/openebs:0.1.0`. */
  readonly reference: string;
  /** What is / there. */
  readonly root: string;
  readonly entrypoint: readonly string[];
  /** Numbers of user and group. */
  readonly user?: string;
  readonly workingDirectory?: string;
  readonly environment?: readonly string[];
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** An image out of a directory, without a daemon: an archive as `docker save` makes it. */
export const archiveImage = async (archive: string, options: ImageOptions): Promise<void> => {
  const work = mkdtempSync(join(dirname(archive), 'image-'));
  try {
    const layer = join(work, 'layer.tar');
    const owner = ['--owner=0', '--group=0', '--numeric-owner'];
    // The same content makes the same image.
    const order = ['--sort=name', '--mtime=@0', '--mode=u=rwX,go=rX'];
    await runTool('tar', [...order, ...owner, '-C', options.root, '-cf', layer, '.']);
    const config = JSON.stringify(configOf(options, await digestOf(layer)));
    const name = `${createHash('sha256').update(config).digest('hex')}.json`;
    writeFileSync(join(work, name), config);
    const manifest = [{ Config: name, RepoTags: [options.reference], Layers: ['layer.tar'] }];
    writeFileSync(join(work, 'manifest.json'), JSON.stringify(manifest));
    const files = ['manifest.json', name, 'layer.tar'];
    await runTool('tar', ['-C', work, '-cf', join(work, 'image.tar'), ...files]);
    renameSync(join(work, 'image.tar'), archive);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
};

const configOf = (options: ImageOptions, layer: string): object => ({
  architecture: ARCHITECTURES[process.arch],
  os: 'linux',
  config: {
    Entrypoint: options.entrypoint,
    Env: ['PATH=/usr/local/bin:/usr/bin:/bin', ...(options.environment ?? [])],
    WorkingDir: options.workingDirectory ?? '/',
    ...(options.user === undefined ? {} : { User: options.user }),
  },
  rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
  history: [{ created: '1970-01-01T00:00:00Z', created_by: 'test/cluster' }],
});

const digestOf = async (file: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
};
