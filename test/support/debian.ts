/**
 * What the suites need from Debian or Ubuntu. Missing packages are installed when that is allowed
 * (root, or sudo that asks no password); the kernel of the virtual machine is only unpacked, beside
 * the tests.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, join } from 'node:path';

export type Requirement =
  | { readonly command: string; readonly packages: readonly string[] }
  | { readonly file: string; readonly packages: readonly string[] }
  /**
   * A kernel image, unpacked into the cache and not installed. The meta package names the current
   * one.
   */
  | { readonly kernel: string };

export interface Kernel {
  readonly image: string;
  /** lib/modules/VERSION */
  readonly modules: string;
}

const LISTS = '/var/lib/apt/lists';
const LISTS_STALE_AFTER_MS = 24 * 3600 * 1000;
const SYSTEM_PATHS = [
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  '/usr/local/bin',
  '/usr/bin',
  '/bin',
];

/**
 * Where a command is; the system's folders count even where PATH leaves sbin out, as Debian's does
 * for users.
 */
export function findCommand(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_PATHS];
  for (const folder of folders) {
    if (folder !== '' && existsSync(join(folder, name))) return join(folder, name);
  }
  return null;
}

export function cacheFolder(root: string): string {
  return join(root, '.cache', 'debian');
}

export function findKernel(root: string): Kernel | null {
  const [image] = globSync(`${cacheFolder(root)}/kernel/boot/vmlinuz-*`);
  if (image === undefined) return null;
  const modules = `lib/modules/${basename(image).slice('vmlinuz-'.length)}`;
  return { image, modules: join(cacheFolder(root), 'kernel', modules) };
}

function isPresent(requirement: Requirement, root: string): boolean {
  if ('kernel' in requirement) return findKernel(root) !== null;
  if ('file' in requirement) return globSync(requirement.file).length > 0;
  return findCommand(requirement.command) !== null;
}

function nameOf(requirement: Requirement): string {
  if ('kernel' in requirement) return requirement.kernel;
  return 'file' in requirement ? requirement.file : requirement.command;
}

/**
 * The words before a command that needs root, or null where nothing gives it without a question.
 */
function asRoot(): readonly string[] | null {
  if (process.getuid?.() === 0) return [];
  if (findCommand('sudo') === null) return null;
  return spawnSync('sudo', ['-n', 'true']).status === 0 ? ['sudo', '-n'] : null;
}

function remedy(missing: readonly Requirement[]): string {
  if (findCommand('apt-get') === null) return "install it by your system's means";
  const packages = missing.flatMap((one) => ('packages' in one ? one.packages : []));
  // What is only unpacked follows by itself when the rest is there.
  if (packages.length === 0) return 'sudo apt-get update && npm test -- --suite kernel-vm';
  return `sudo apt-get install ${[...new Set(packages)].join(' ')}`;
}

export class Debian {
  private readonly root: string;
  private readonly say: (line: string) => void;
  private listsUpdated = false;
  private readonly attempted = new Set<string>();

  constructor(root: string, say: (line: string) => void) {
    this.root = root;
    this.say = say;
  }

  /**
   * Gets what is missing, where it may. Null: all is there. Else what is not, why, and the command
   * that a person can run.
   */
  provide(requirements: readonly Requirement[]): string | null {
    const absent = () => requirements.filter((one) => !isPresent(one, this.root));
    const packages = () => absent().flatMap((one) => ('packages' in one ? one.packages : []));
    const obstacle = packages().length === 0 ? null : this.obstacle();
    if (obstacle === null) {
      this.install(packages().filter((name) => !this.attempted.has(name)));
      for (const one of absent()) if ('kernel' in one) this.unpackKernel(one.kernel);
    }
    const missing = absent();
    if (missing.length === 0) return null;
    const why = obstacle ?? 'apt-get did not bring it, see its messages above';
    return `needs ${missing.map(nameOf).join(', ')}; ${why}:\n  ${remedy(missing)}`;
  }

  private obstacle(): string | null {
    if (findCommand('apt-get') === null) return 'this is neither Debian nor Ubuntu';
    if (asRoot() === null) return 'installing needs root, or a sudo that asks for no password';
    return null;
  }

  private install(names: readonly string[]): void {
    const packages = [...new Set(names)];
    if (packages.length === 0) return;
    this.updateLists();
    for (const name of packages) this.attempted.add(name);
    this.say(`installing from Debian what the tests need: ${packages.join(' ')}`);
    const options = ['-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];
    this.apt(['install', ...options, ...packages]);
  }

  private updateLists(): void {
    if (this.listsUpdated || asRoot() === null) return;
    this.listsUpdated = true;
    const newest = readdirSync(LISTS, { withFileTypes: true })
      .filter((entry) => entry.isFile() && /_(In)?Release$/.test(entry.name))
      .reduce((latest, entry) => Math.max(latest, statSync(join(LISTS, entry.name)).ctimeMs), 0);
    if (Date.now() - newest < LISTS_STALE_AFTER_MS) return;
    this.say('apt-get update: the package lists are missing or a day old');
    this.apt(['update', '-q']);
  }

  private apt(args: readonly string[]): boolean {
    const prefix = asRoot() ?? [];
    const environment = ['env', 'DEBIAN_FRONTEND=noninteractive'];
    const [file, ...rest] = [...prefix, ...environment, 'apt-get', ...args];
    const result = spawnSync(file!, rest, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
    if (result.status === 0) return true;
    this.say(`apt-get ${args.join(' ')} failed:\n${result.stdout}${result.stderr}`);
    return false;
  }

  /** `apt-get download` needs no root; what it brings is put where only the tests look. */
  private unpackKernel(metaPackage: string): void {
    this.updateLists();
    const depends = spawnSync('apt-cache', ['depends', metaPackage], { encoding: 'utf8' }).stdout;
    const image = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (image === undefined) {
      this.say(`apt-cache knows no ${metaPackage}`);
      return;
    }
    const folder = cacheFolder(this.root);
    const scratch = join(folder, 'download');
    rmSync(scratch, { recursive: true, force: true });
    mkdirSync(scratch, { recursive: true });
    this.say(`unpacking ${image} into ${folder.replace(homedir(), '~')}`);
    const options = { cwd: scratch, encoding: 'utf8' } as const;
    const download = spawnSync('apt-get', ['download', '-q', image], options);
    const archive = readdirSync(scratch).find((name) => name.endsWith('.deb'));
    const unpack =
      archive === undefined
        ? download
        : spawnSync('dpkg-deb', ['-x', archive, 'unpacked'], options);
    if (archive === undefined || unpack.status !== 0) {
      this.say(`getting ${image} failed:\n${unpack.stdout}${unpack.stderr}`);
      return;
    }
    rmSync(join(folder, 'kernel'), { recursive: true, force: true });
    renameSync(join(scratch, 'unpacked'), join(folder, 'kernel'));
    rmSync(scratch, { recursive: true, force: true });
  }
}
