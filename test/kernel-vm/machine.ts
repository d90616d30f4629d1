/** A virtual machine in software emulation, and what its serial console says. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import { findCommand } from '../support/debian.ts';

export interface MachineOptions {
  readonly kernelImage: string;
  readonly initramfs: string;
  /** Words of the kernel's command line, for the scenario. */
  readonly parameters: Readonly<Record<string, string>>;
}

export interface Step {
  readonly name: string;
  readonly outcome: 'begun' | 'passed' | 'failed';
  readonly message: string;
}

const KEPT_LINES = 400;
const MARKER = /^@@ (begin|pass|fail) ([\w-]+)(?:: (.*))?$/;
const OUTCOMES = { begin: 'begun', pass: 'passed', fail: 'failed' } as const;

export class Machine {
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #console: string[] = [];
  readonly #steps = new Map<string, Step>();
  readonly #listeners = new Set<() => void>();
  #isOver = false;

  constructor(options: MachineOptions) {
    const parameters = Object.entries(options.parameters).map(([key, value]) => `${key}=${value}`);
    const child = spawn(
      findCommand('qemu-system-x86_64') ?? 'qemu-system-x86_64',
      [
        ...['-accel', 'tcg', '-cpu', 'max', '-m', '1024', '-nodefaults', '-display', 'none'],
        ...['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='],
        ...['-kernel', options.kernelImage, '-initrd', options.initramfs],
        // With panic=-1 and -no-reboot a kernel that panics ends the process.
        ...['-append', `console=ttyS0 quiet panic=-1 ${parameters.join(' ')}`],
        ...['-no-reboot', '-serial', 'stdio'],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.#hear(line));
    createInterface({ input: child.stderr }).on('line', (line) => this.#hear(`qemu: ${line}`));
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => this.#hear(`qemu: ${error.message}`));
      child.once('close', () => {
        this.#isOver = true;
        this.#notify();
        resolve();
      });
    });
  }

  /** Resolves when the step has begun; rejects when the machine ended without it. */
  begun(name: string): Promise<void> {
    return this.#until(name, () => this.#steps.has(name));
  }

  /** Resolves when the step has passed; rejects with the end of the console when it has not. */
  async passed(name: string): Promise<void> {
    await this.#until(name, () => (this.#steps.get(name)?.outcome ?? 'begun') !== 'begun');
    const step = this.#steps.get(name);
    if (step?.outcome === 'failed') throw new Error(`${step.message}\n${this.console()}`);
  }

  console(): string {
    return this.#console.join('\n');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #until(name: string, isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const so = isSo();
        if (!so && !this.#isOver) return;
        this.#listeners.delete(check);
        if (so) resolve();
        else reject(new Error(`the machine ended before step ${name}\n${this.console()}`));
      };
      this.#listeners.add(check);
      check();
    });
  }

  #hear(line: string): void {
    this.#console.push(line.trimEnd());
    if (this.#console.length > KEPT_LINES) this.#console.shift();
    const [, word, name, message = ''] = MARKER.exec(line.trim()) ?? [];
    if (word === undefined || name === undefined) return;
    const outcome = OUTCOMES[word as keyof typeof OUTCOMES];
    this.#steps.set(name, { name, outcome, message });
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
