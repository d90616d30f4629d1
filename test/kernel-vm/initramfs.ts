/**
 * The machine's root file system: busybox, this host's iSCSI and file system tools with their
 * libraries, modules.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { findCommand } from '../support/debian.ts';

const BUSYBOX = '/bin/busybox';
/**
 * What the Debian kernel has as modules and the scenario needs; those that they depend on come
 * along.
 */
const MODULES = ['virtio_pci', 'virtio_net', 'sd_mod', 'iscsi_tcp', 'xfs'];

export interface InitramfsOptions {
  /** An empty directory for the tree. */
  readonly directory: string;
  /** lib/modules/VERSION of the kernel. */
  readonly modules: string;
  /** The shell script that guest-init.sh goes through. */
  readonly scenario: string;
  /** Programs of this host. */
  readonly tools: readonly string[];
  /** Further files, by their path there. */
  readonly files?: Readonly<Record<string, string>>;
  readonly initiatorName: string;
  /** iscsid.conf: what new discoveries and nodes begin with. */
  readonly settings: Readonly<Record<string, string>>;
}

/**
 * Returns the archive's path. It is not compressed: unpacking costs the emulated processor more
 * than reading.
 */
export function buildInitramfs(options: InitramfsOptions): string {
  const tree = join(options.directory, 'tree');
  const settings = Object.entries(options.settings).map(([key, value]) => `${key} = ${value}`);
  mkdirSync(join(tree, 'bin'), { recursive: true });
  installBusybox(tree);
  for (const tool of ['iscsid', 'iscsiadm', ...options.tools]) installTool(tree, tool);
  installModules(tree, options.modules);
  put(tree, '/etc/iscsi/initiatorname.iscsi', `InitiatorName=${options.initiatorName}\n`);
  put(tree, '/etc/iscsi/iscsid.conf', `${settings.join('\n')}\n`);
  put(tree, '/etc/passwd', 'root:x:0:0:root:/:/bin/sh\n');
  put(tree, '/etc/mtab', '');
  put(tree, '/scenario.sh', readFileSync(options.scenario));
  for (const [path, content] of Object.entries(options.files ?? {})) put(tree, path, content);
  put(tree, '/init', readFileSync(join(import.meta.dirname, 'guest-init.sh')));
  chmodSync(join(tree, 'init'), 0o755);
  for (const folder of ['proc', 'sys', 'dev', 'run', 'tmp', 'mnt'])
    mkdirSync(join(tree, folder), { recursive: true });
  return pack(tree, join(options.directory, 'initramfs.cpio'));
}

function put(tree: string, path: string, content: string | Buffer): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), content);
}

function copy(tree: string, from: string, to: string): void {
  if (existsSync(join(tree, to))) return;
  mkdirSync(dirname(join(tree, to)), { recursive: true });
  copyFileSync(realpathSync(from), join(tree, to));
}

function installBusybox(tree: string): void {
  copy(tree, BUSYBOX, '/bin/busybox');
  const applets = execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' });
  for (const applet of applets.split('\n')) {
    if (applet !== '' && applet !== 'busybox')
      symlinkSync('/bin/busybox', join(tree, 'bin', applet));
  }
}

/** A program and the libraries that the dynamic linker would load for it. */
function installTool(tree: string, name: string): void {
  const path = findCommand(name);
  if (path === null) throw new Error(`${name} is not installed`);
  copy(tree, path, `/usr/bin/${name}`);
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' });
  for (const [, library] of libraries.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm))
    copy(tree, library!, library!);
}

/**
 * The modules as /modules/NN-name.ko in the order in which they load: each after those that it
 * depends on.
 */
function installModules(tree: string, folder: string): void {
  const paths = new Map(
    globSync(`${folder}/kernel/**/*.ko`).map((path) => [moduleName(path), path] as const),
  );
  const order: string[] = [];
  const visit = (name: string): void => {
    const path = paths.get(name);
    if (path === undefined) throw new Error(`the kernel has no module ${name}`);
    if (order.includes(path)) return;
    for (const dependency of dependenciesOf(path)) visit(dependency);
    order.push(path);
  };
  for (const name of MODULES) visit(name);
  for (const [index, path] of order.entries())
    copy(tree, path, `/modules/${String(index).padStart(2, '0')}-${moduleName(path)}.ko`);
}

function moduleName(path: string): string {
  return basename(path, '.ko').replaceAll('-', '_');
}

/** The `depends=` of the section .modinfo. */
function dependenciesOf(path: string): string[] {
  const text = readFileSync(path, 'latin1');
  const start = text.indexOf('\0depends=') + '\0depends='.length;
  const names = text.slice(start, text.indexOf('\0', start)).split(',');
  return names.filter((name) => name !== '').map((name) => name.replaceAll('-', '_'));
}

function pack(tree: string, archive: string): string {
  const names = readdirSync(tree, { recursive: true, encoding: 'utf8' }).sort();
  const output = openSync(archive, 'w');
  try {
    const result = spawnSync('cpio', ['--create', '--format=newc', '--quiet'], {
      cwd: tree,
      input: names.join('\n'),
      stdio: ['pipe', output, 'pipe'],
      encoding: 'utf8',
    });
    if (result.status !== 0) throw new Error(`cpio failed: ${result.stderr}`);
  } finally {
    closeSync(output);
  }
  return archive;
}
