/**
 * Goal: docker/Dockerfile builds, as a user builds it, an image whose daemons run without rights on
 * a root file system that is read-only, and end in order.
 *
 * Method: the Docker Engine of Debian, without a network. The base image has the name that it
 * names and what it has to have: Node.js, npm and a shell, all of this machine. npm takes packages
 * from the cache that `npm ci` has filled here; only where they come from is not as at a user's.
 */
import { cpSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { copySystem, copyTo } from '../cluster/openebs-image.ts';
import { runDirectory } from '../cluster/run-directory.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { findCommand } from '../support/debian.ts';
import { runTool } from '../support/tool.ts';
import { until } from '../support/until.ts';
import { DockerEngine } from './docker-engine.ts';

const BASE = 'node:26-bookworm-slim';
const IMAGE = 'openebs/openebs:test';
const SHELL = ['sh', 'rm', 'find', 'env', 'mkdir', 'chmod', 'cat'];
const SAFE = ['--pull=never', '--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
const UUID = '6f0c9d3a-5c0e-4b7d-9a43-0a1b2c3d4e5f';

const npmConfig = async (name: string): Promise<string> =>
  (await runTool('npm', ['config', 'get', name])).stdout.trim();

/** What the Dockerfile needs of its base. */
const makeBase = async (root: string): Promise<void> => {
  await copySystem(root);
  copyTo(findCommand('busybox') ?? '/bin/busybox', join(root, 'bin/busybox'));
  for (const name of SHELL) symlinkSync('busybox', join(root, 'bin', name));
  rmSync(join(root, 'usr/bin/env'));
  symlinkSync('../../bin/busybox', join(root, 'usr/bin/env'));
  const npm = dirname(dirname(realpathSync(findCommand('npm') ?? 'npm')));
  cpSync(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  const cache = join(await npmConfig('cache'), '_cacache');
  cpSync(cache, join(root, 'root/.npm/_cacache'), { recursive: true });
};

describe('the Dockerfile', function () {
  this.timeout(1_200_000);
  let directory: string;
  let engine: DockerEngine;

  before(async () => {
    directory = runDirectory();
    engine = await DockerEngine.start(join(directory, 'docker'));
    const root = join(directory, 'base');
    mkdirSync(root);
    await makeBase(root);
    await engine.import(root, BASE, [
      'ENV PATH=/usr/local/bin:/usr/bin:/bin',
      'ENV npm_config_offline=true npm_config_cache=/root/.npm',
      // Packages are in the cache under the name of where they came from.
      `ENV npm_config_registry=${await npmConfig('registry')}`,
    ]);
  });

  after(async () => {
    await engine.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('builds', async () => {
    const start = performance.now();
    const file = join(REPOSITORY, 'docker', 'Dockerfile');
    await engine.docker(['build', '--network', 'none', '-f', file, '-t', IMAGE, REPOSITORY]);
    const of = async (reference: string): Promise<number> =>
      Number((await engine.docker(['inspect', '-f', '{{.Size}}', reference])).stdout);
    const ours = ((await of(IMAGE)) - (await of(BASE))) / 2 ** 20;
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    console.log(`      in ${seconds} s; ${ours.toFixed(0)} MiB above ${BASE}`);
  });

  it('makes an image whose daemons need no rights', async () => {
    for (const main of ['target/src', 'replica/src', 'provisioner/src/kubernetes-']) {
      const path = main.endsWith('-') ? `${main}main.ts` : `${main}/main.ts`;
      const { stdout } = await engine.docker(['run', '--rm', ...SAFE, IMAGE, path, '--help']);
      expect(stdout).to.include('--');
    }
    const who = [
      'run',
      '--rm',
      '--pull=never',
      '--entrypoint',
      'node',
      IMAGE,
      '-p',
      'process.getuid()',
    ];
    expect((await engine.docker(who)).stdout.trim()).to.equal('65532');
  });

  it('makes an image whose daemon ends in order at SIGTERM', async () => {
    const flags = ['--dir', '/data/copy', '--volume-id', UUID, '--size', '64MiB'];
    const ports = ['--listen', '127.0.0.1:0', '--control', '127.0.0.1:0'];
    const data = ['--tmpfs', '/data:mode=1777'];
    const args = ['run', '-d', ...SAFE, ...data, IMAGE, 'replica/src/main.ts', ...flags, ...ports];
    const container = (await engine.docker(args)).stdout.trim();
    await until('a replica that is ready', async () =>
      (await engine.docker(['logs', container])).stdout.includes('"ready"'),
    );
    await engine.docker(['stop', '--time', '30', container]);
    const code = ['inspect', '-f', '{{.State.ExitCode}}', container];
    expect((await engine.docker(code)).stdout.trim()).to.equal('0');
  });
});
