import { copyFileSync, cpSync, existsSync, globSync, mkdirSync, writeFileSync } from 'node:fs';
import { rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { REPOSITORY } from '../support/daemons.ts';
import { runTool, tryTool } from '../support/tool.ts';
import { readDockerfile } from './dockerfile.ts';
import { archiveImage } from './image.ts';

/** Of the C library, but not of any program: it looks for them when it is asked for a name. */
const NAME_SERVICE = '/lib/*-linux-gnu/libnss_{dns,files}.so.2';

/**
 * Our image as docker/Dockerfile describes it, made without a daemon and without a network: Node.js
 * and its libraries are this machine's, the packages those of the checkout.
 */
export const archiveOpenebs = async (archive: string, reference: string): Promise<void> => {
  const root = `${archive}.root`;
  const { copies, runs, workingDirectory, environment, user, entrypoint } = readDockerfile();
  try {
    await copySystem(root);
    const home = join(root, workingDirectory);
    mkdirSync(home, { recursive: true });
    await copyPackages(home);
    copyFileSync(join(REPOSITORY, 'package.json'), join(home, 'package.json'));
    for (const path of copies) copySources(path, join(home, path));
    for (const { user: who, command } of runs) {
      const inside = ['-C', workingDirectory, 'PATH=/usr/local/bin', ...environment, ...command];
      await runTool('chroot', [`--userspec=${who}`, root, '/usr/bin/env', ...inside]);
    }
    rmSync(join(root, 'usr/bin/env'));
    await archiveImage(archive, {
      ...{ reference, root, user, workingDirectory, environment, entrypoint },
    });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
};

/** Node.js, what it links, and who is who. */
export const copySystem = async (root: string): Promise<void> => {
  const { stdout } = await runTool('ldd', [process.execPath]);
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  for (const path of [...libraries, ...globSync(NAME_SERVICE)]) copyTo(path, join(root, path));
  copyTo(process.execPath, join(root, 'usr/local/bin/node'));
  // For the RUN instructions; the image does not keep it.
  copyTo('/usr/bin/env', join(root, 'usr/bin/env'));
  const files = {
    'etc/passwd': 'root:x:0:0:root:/:/sbin/nologin\nopenebs:x:65532:65532::/:/sbin/nologin\n',
    'etc/group': 'root:x:0:\nopenebs:x:65532:\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
  };
  mkdirSync(join(root, 'etc'), { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content);
  mkdirSync(join(root, 'tmp'), { recursive: true });
};

export const copyTo = (from: string, to: string): void => {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
};

/** As `npm ci --omit=dev` leaves them; Node.js is in the image already. */
const copyPackages = async (home: string): Promise<void> => {
  // It complains of packages that are there and not needed, which matters not.
  const { stdout } = await tryTool('npm', ['ls', '--omit=dev', '--all', '--parseable'], {
    cwd: REPOSITORY,
  });
  const paths = [...new Set(stdout.split('\n'))].filter(
    (path) =>
      path.startsWith(`${REPOSITORY}/`) &&
      path.includes('/node_modules/') &&
      !/\/(node-linux-\w+|@types\/\w+)$/.test(path),
  );
  if (paths.length === 0) throw new Error('npm ls names no packages: run npm ci first');
  for (const path of paths) {
    const to = join(home, relative(REPOSITORY, path));
    if (existsSync(to)) continue;
    const filter = (from: string): boolean => !/(\.d\.ts|\.map|\.md)$/.test(from);
    cpSync(path, to, { recursive: true, verbatimSymlinks: true, filter });
  }
  mkdirSync(join(home, 'node_modules/@openebs'), { recursive: true });
  for (const name of ['replica', 'target', 'provisioner']) {
    const link = join(home, 'node_modules/@openebs', name);
    rmSync(link, { force: true });
    symlinkSync(`../../${name}`, link);
  }
};

/** Without what .dockerignore leaves out. */
const copySources = (path: string, to: string): void =>
  cpSync(join(REPOSITORY, path), to, {
    recursive: true,
    filter: (from) =>
      !/\.(test|test-support)\.ts$|\/node_modules(\/|$)/.test(from.slice(REPOSITORY.length)),
  });
