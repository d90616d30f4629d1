import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The host's files below `root`, which is `/` but for tests. What cannot be read is taken as
 * absent.
 */
export class Host {
  readonly #root: string;

  constructor(root = '/') {
    this.#root = root;
  }

  exists(path: string): boolean {
    return existsSync(join(this.#root, path));
  }

  read(path: string): string | null {
    try {
      return readFileSync(join(this.#root, path), 'utf8');
    } catch {
      return null;
    }
  }

  list(path: string): readonly string[] {
    try {
      return readdirSync(join(this.#root, path));
    } catch {
      return [];
    }
  }

  /** Also where a user's PATH does not look. */
  hasProgram(name: string): boolean {
    return ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/local/bin'].some(
      (directory) => this.exists(join(directory, name)),
    );
  }

  hasProcess(name: string): boolean {
    return this.list('/proc').some(
      (pid) => /^\d+$/.test(pid) && this.read(`/proc/${pid}/comm`)?.trim() === name,
    );
  }

  hasSystemd(): boolean {
    return this.exists('/run/systemd/system');
  }

  /** The command that installs the packages, named as this distribution names them. */
  installCommand(packages: { debian: string; redhat: string; suse: string }): string {
    const release = this.read('/etc/os-release') ?? '';
    const family = /^ID(?:_LIKE)?=.*$/gm;
    const ids = (release.match(family) ?? []).join(' ');
    if (/rhel|fedora|centos/.test(ids)) return `sudo dnf install -y ${packages.redhat}`;
    if (ids.includes('suse')) return `sudo zypper install -y ${packages.suse}`;
    return `sudo apt-get install -y ${packages.debian}`;
  }
}
