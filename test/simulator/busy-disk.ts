import type { Disk, DiskFile } from '../../replica/src/store/disk.ts';
import type { SimulatedDisk } from '../../replica/src/store/simulated-disk.ts';

/**
 * The directories of a process that works while others do, too: before each name that it looks at,
 * makes or gives away, `pass` lets time go by. It throws when the process has ended meanwhile.
 */
export class BusyDisk implements Disk {
  readonly #disk: SimulatedDisk;
  readonly #pass: () => void;
  readonly #alive: () => boolean;

  constructor(disk: SimulatedDisk, pass: () => void, alive: () => boolean) {
    this.#disk = disk;
    this.#pass = pass;
    this.#alive = alive;
  }

  get directory(): string {
    return this.#disk.directory;
  }

  exists(name: string): boolean {
    return this.#disk.exists(name);
  }

  open(name: string): DiskFile {
    this.#pass();
    return this.#disk.open(name);
  }

  create(name: string): DiskFile {
    this.#pass();
    return this.#disk.create(name);
  }

  rename(from: string, to: string): void {
    this.#pass();
    this.#disk.rename(from, to);
  }

  remove(name: string): void {
    this.#pass();
    this.#disk.remove(name);
  }

  list(): readonly string[] {
    return this.#disk.list();
  }

  sibling(directory: string): BusyDisk {
    return new BusyDisk(this.#disk.sibling(directory), this.#pass, this.#alive);
  }

  link(source: Disk, name: string): void {
    this.#pass();
    this.#disk.link(source instanceof BusyDisk ? source.#disk : source, name);
  }

  syncDirectory(): void {
    this.#pass();
    this.#disk.syncDirectory();
  }

  lock(): ReturnType<Disk['lock']> {
    return this.#disk.lock();
  }

  unlock(): void {
    // The next process may have it.
    if (this.#alive()) this.#disk.unlock();
  }

  bootId(): string | null {
    return this.#disk.bootId();
  }
}
