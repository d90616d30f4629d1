import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../support/daemons.ts';
import type { Random } from '../support/random.ts';
import type { ReplicaSettings } from '../support/replicated-volume.ts';

const SOURCE = join(import.meta.dirname, 'machine.c');
const LIBRARY = join(REPOSITORY, '.cache', 'machine.so');
const SECTOR_BYTES = 512;
const HEADER_BYTES = 32;
const MAGIC = 0x4c4e524a;
const SYNCHRONISED = 2;

/** A sector that was written and not synchronised: what it held before each of these writes. */
interface Sector {
  readonly inode: number;
  readonly offset: number;
  readonly before: { readonly position: number; readonly content: Buffer }[];
}

/** How much of what was not synchronised is lost. */
type Loss = 'everything' | 'any sectors' | 'the last writes' | 'whole files';
const LOSSES: readonly Loss[] = ['everything', 'any sectors', 'the last writes', 'whole files'];

/**
 * The machine below one replica process: it can lose its power, and its disk can fail. See
 * machine.c.
 */
export class ReplicaMachine {
  readonly directory: string;
  readonly #journal: string;
  readonly #bootId: string;
  readonly #fault: string;

  /** `folder` is made; compileMachine() comes first. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.directory = join(folder, 'replica');
    this.#journal = join(folder, 'journal');
    this.#bootId = join(folder, 'boot-id');
    this.#fault = join(folder, 'fault');
    writeFileSync(this.#journal, '');
    writeFileSync(this.#bootId, randomUUID());
  }

  settings(): ReplicaSettings {
    const env = {
      LD_PRELOAD: LIBRARY,
      MACHINE_DIRECTORY: this.directory,
      MACHINE_JOURNAL: this.#journal,
      MACHINE_BOOT_ID: this.#bootId,
      MACHINE_FAULT: this.#fault,
    };
    return { directory: this.directory, spawn: { env } };
  }

  /** The disk answers these operations with EIO, until it is repaired. */
  failOn(operation: 'write' | 'sync'): void {
    writeFileSync(this.#fault, operation);
  }

  repairDisk(): void {
    rmSync(this.#fault, { force: true });
  }

  /**
   * After the process was killed: what it appended last may be cut short. Was it, the write itself
   * never began.
   */
  processEnded(): void {
    const { end } = readJournal(this.#journal);
    truncateSync(this.#journal, end);
  }

  /** After the process was killed. Returns how many sectors were put back, of how many. */
  losePower(random: Random): { readonly lost: number; readonly atRisk: number } {
    const { sectors, positions } = readJournal(this.#journal);
    const paths = this.#paths();
    const loss = random.pick(LOSSES);
    const cut = random.pick(positions.length > 0 ? positions : [0]);
    const lostFiles = new Set([...paths.keys()].filter(() => random.chance(0.5)));
    let lost = 0;
    for (const { inode, offset, before } of sectors) {
      const path = paths.get(inode);
      const chosen = (): number => {
        switch (loss) {
          case 'everything':
            return 0;
          case 'any sectors':
            return random.below(before.length + 1);
          case 'the last writes':
            return before.findIndex(({ position }) => position >= cut);
          case 'whole files':
            return lostFiles.has(inode) ? 0 : -1;
        }
      };
      const content = before[chosen()]?.content;
      if (path === undefined || content === undefined) continue;
      putBack(path, offset, content);
      lost++;
    }
    truncateSync(this.#journal, 0);
    writeFileSync(this.#bootId, randomUUID());
    return { lost, atRisk: sectors.length };
  }

  #paths(): Map<number, string> {
    const names = readdirSync(this.directory).map((name) => join(this.directory, name));
    return new Map(names.map((path) => [statSync(path).ino, path]));
  }
}

/** Once before the first machine. */
export function compileMachine(): void {
  const compiled = statSync(LIBRARY, { throwIfNoEntry: false });
  if (compiled !== undefined && compiled.mtimeMs > statSync(SOURCE).mtimeMs) return;
  mkdirSync(join(REPOSITORY, '.cache'), { recursive: true });
  const scratch = `${LIBRARY}.${process.pid}`;
  execFileSync('gcc', ['-shared', '-fPIC', '-O2', '-Wall', '-Werror', '-o', scratch, SOURCE]);
  renameSync(scratch, LIBRARY);
}

interface Journal {
  readonly sectors: Sector[];
  /** Where the records begin. */
  readonly positions: number[];
  /** Behind the last whole record. */
  readonly end: number;
}

function readJournal(path: string): Journal {
  const bytes = readFileSync(path);
  const files = new Map<number, Map<number, Sector>>();
  const positions: number[] = [];
  let position = 0;
  while (position + HEADER_BYTES <= bytes.length) {
    if (bytes.readUInt32LE(position) !== MAGIC) throw new Error(`${path} is no journal`);
    const kind = bytes.readUInt32LE(position + 4);
    const inode = Number(bytes.readBigUInt64LE(position + 8));
    const offset = Number(bytes.readBigUInt64LE(position + 16));
    const length = Number(bytes.readBigUInt64LE(position + 24));
    const next = position + HEADER_BYTES + length;
    if (next > bytes.length) break;
    const sectors = files.get(inode) ?? new Map<number, Sector>();
    files.set(inode, sectors);
    if (kind === SYNCHRONISED) {
      forget(sectors, offset);
    } else {
      positions.push(position);
      for (let at = 0; at < length; at += SECTOR_BYTES) {
        const sector = sectors.get(offset + at) ?? { inode, offset: offset + at, before: [] };
        const from = position + HEADER_BYTES + at;
        sector.before.push({ position, content: bytes.subarray(from, from + SECTOR_BYTES) });
        sectors.set(sector.offset, sector);
      }
    }
    position = next;
  }
  return {
    sectors: [...files.values()].flatMap((sectors) => [...sectors.values()]),
    positions,
    end: position,
  };
}

/** What was appended before is on the disk now. */
function forget(sectors: Map<number, Sector>, position: number): void {
  for (const [offset, sector] of sectors) {
    const kept = sector.before.findIndex((each) => each.position >= position);
    if (kept < 0) sectors.delete(offset);
    else sector.before.splice(0, kept);
  }
}

function putBack(path: string, offset: number, content: Buffer): void {
  const { size } = statSync(path);
  // A file does not grow by what it has lost.
  const length = Math.min(content.length, size - offset);
  if (length <= 0) return;
  const file = openSync(path, 'r+');
  try {
    writeSync(file, content, 0, length, offset);
  } finally {
    closeSync(file);
  }
}

/** One below each replica of a volume, in folders below its directory. */
export function newMachines(directory: string, count: number): readonly ReplicaMachine[] {
  compileMachine();
  return Array.from(
    { length: count },
    (_, index) => new ReplicaMachine(join(directory, `machine-${index}`)),
  );
}
