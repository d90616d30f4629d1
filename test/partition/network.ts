import { execFileSync, spawnSync } from 'node:child_process';

/**
 * Hosts on a network of this test's own: each a network namespace with one link to a router, which
 * is a namespace too. This process has a link to the router as well. There is no way out. Needs
 * root, and ip of iproute2.
 */
export class Network {
  readonly #prefix: string;
  readonly #hosts: readonly string[];
  readonly #subnet: number;
  #isThere = false;

  /** `subnet`: 198.18.N.0/24 and below it are for such purposes (RFC 2544). */
  constructor(hosts: readonly string[], subnet = 200) {
    this.#prefix = `oe${process.pid}`;
    this.#hosts = hosts;
    this.#subnet = subnet;
  }

  create(): void {
    const router = this.#name('router');
    ip('netns', 'add', router);
    this.#isThere = true;
    ip('-n', router, 'link', 'set', 'lo', 'up');
    inside(router, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
    for (const host of this.#hosts) {
      const name = this.#name(host);
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
      this.#link(host, ['-n', name]);
      ip('-n', name, 'route', 'add', '198.18.0.0/16', 'via', this.#gateway(host));
    }
    this.#link('test', []);
    ip('route', 'add', '198.18.0.0/16', 'via', this.#gateway('test'));
  }

  /** The processes in it have to be gone. */
  remove(): void {
    if (!this.#isThere) return;
    for (const host of ['router', ...this.#hosts]) {
      spawnSync('ip', ['netns', 'del', this.#name(host)]);
    }
    // Links end with the namespace of their other end, this process's own among them.
    spawnSync('ip', ['link', 'del', this.#device('test')]);
  }

  /** Of a host; `test` is this process. */
  address(host: string): string {
    return `198.18.${this.#subnet}.${4 * this.#index(host) + 2}`;
  }

  /** Before a command line: it runs on that host. */
  wrapper(host: string): string[] {
    return ['ip', 'netns', 'exec', this.#name(host)];
  }

  /** Packets of one host to another vanish; the other direction stays. */
  cut(from: string, to: string): void {
    this.#rule('add', from, to);
  }

  heal(from: string, to: string): void {
    this.#rule('del', from, to);
  }

  cutBoth(one: string, other: string): void {
    this.cut(one, other);
    this.cut(other, one);
  }

  healBoth(one: string, other: string): void {
    this.heal(one, other);
    this.heal(other, one);
  }

  #rule(action: 'add' | 'del', from: string, to: string): void {
    const rule = ['from', this.address(from), 'to', this.address(to), 'blackhole'];
    ip('-n', this.#name('router'), 'rule', action, ...rule);
  }

  #link(host: string, where: readonly string[]): void {
    const device = this.#device(host);
    const far = `r${this.#index(host)}`;
    const router = this.#name('router');
    ip('-n', router, 'link', 'add', far, 'type', 'veth', 'peer', 'name', device);
    const target = where.length > 0 ? this.#name(host) : '1';
    ip('-n', router, 'link', 'set', device, 'netns', target);
    ip('-n', router, 'address', 'add', `${this.#gateway(host)}/30`, 'dev', far);
    ip('-n', router, 'link', 'set', far, 'up');
    ip(...where, 'address', 'add', `${this.address(host)}/30`, 'dev', device);
    ip(...where, 'link', 'set', device, 'up');
  }

  #gateway(host: string): string {
    return `198.18.${this.#subnet}.${4 * this.#index(host) + 1}`;
  }

  #index(host: string): number {
    return host === 'test' ? 0 : this.#hosts.indexOf(host) + 1;
  }

  #name(host: string): string {
    return `${this.#prefix}-${host}`;
  }

  #device(host: string): string {
    return `${this.#prefix}-${this.#index(host)}`;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function inside(namespace: string, ...command: string[]): void {
  ip('netns', 'exec', namespace, ...command);
}
