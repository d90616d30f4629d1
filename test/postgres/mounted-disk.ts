/**
 * A volume as a file system of this host, without a kernel that knows iSCSI: QEMU's storage daemon
 * is the initiator and shows the disk as a file by FUSE, a loop device makes a block device of it,
 * and the kernel mounts its ext4. A flush of the file system arrives as SYNCHRONIZE CACHE.
 */
import { once } from 'node:events';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { findCommand } from '../support/debian.ts';
import { runTool, tryTool } from '../support/tool.ts';
import { until } from '../support/until.ts';

export interface DiskAddress {
  /** host:port */
  readonly portal: string;
  readonly iqn: string;
}

export class MountedDisk {
  /** Where the file system is. */
  readonly path: string;
  readonly #file: string;
  readonly #address: DiskAddress;
  #initiator: ChildProcess | null = null;
  #device: string | null = null;
  #mounted = false;

  constructor(directory: string, address: DiskAddress) {
    this.path = `${directory}/mounted`;
    this.#file = `${directory}/disk`;
    this.#address = address;
    mkdirSync(this.path);
    writeFileSync(this.#file, '');
  }

  /** The block device, for mkfs and fsck. */
  get device(): string {
    if (this.#device === null) throw new Error('the disk is not attached');
    return this.#device;
  }

  async attach(): Promise<void> {
    const { portal, iqn } = this.#address;
    const disk = { driver: 'iscsi', 'node-name': 'disk', transport: 'tcp', portal, target: iqn };
    const shown = { type: 'fuse', id: 'shown', 'node-name': 'disk', mountpoint: this.#file };
    const initiator = spawn(
      findCommand('qemu-storage-daemon') ?? 'qemu-storage-daemon',
      [
        '--blockdev',
        optionText({ ...disk, lun: '0' }),
        '--export',
        `${optionText(shown)},writable=on`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#initiator = initiator;
    const words: string[] = [];
    initiator.stderr.on('data', (chunk: Buffer) => words.push(chunk.toString()));
    await until('the disk is there as a file', () => {
      if (initiator.exitCode !== null) throw new Error(`the initiator ended: ${words.join('')}`);
      return statSync(this.#file).size > 0;
    });
    const { stdout } = await runTool('losetup', ['--find', '--show', this.#file]);
    this.#device = stdout.trim();
  }

  async mount(): Promise<void> {
    await runTool('mount', ['-t', 'ext4', this.device, this.path]);
    this.#mounted = true;
  }

  async unmount(): Promise<void> {
    await runTool('umount', [this.path]);
    this.#mounted = false;
  }

  async detach(): Promise<void> {
    if (this.#device !== null) await runTool('losetup', ['--detach', this.#device]);
    this.#device = null;
    await this.#endInitiator('SIGTERM');
  }

  /**
   * As when the machine with the file system loses its power: whatever only its page cache had is
   * gone.
   */
  async lose(): Promise<void> {
    await this.#endInitiator('SIGKILL');
    // What was mounted over a dead initiator can't be written back, and says so; it ends all the
    // same.
    if (this.#mounted) await tryTool('umount', ['--lazy', this.path]);
    this.#mounted = false;
    if (this.#device !== null) await tryTool('losetup', ['--detach', this.#device]);
    this.#device = null;
    await tryTool('umount', ['--lazy', this.#file]);
  }

  async #endInitiator(signal: NodeJS.Signals): Promise<void> {
    const initiator = this.#initiator;
    this.#initiator = null;
    if (initiator === null || initiator.exitCode !== null) return;
    const ended = once(initiator, 'exit');
    initiator.kill(signal);
    await ended;
  }
}

const optionText = (options: Readonly<Record<string, string>>): string =>
  Object.entries(options)
    .map(([name, value]) => `${name}=${value.replaceAll(',', ',,')}`)
    .join(',');
