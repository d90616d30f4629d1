/** A volume of real processes whose files are damaged behind their back. */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { openDisk, type Disk } from '../initiator/disk.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';

export const BLOCK = 4096;
export const EXTENT = 1024 * 1024;
/** Of `000001.meta`: one page for each extent. */
export const PAGE = 2048;
export const PAGE_BITMAP = 64;
/** Which blocks hide those of older layers. */
export const PAGE_HIDDEN = 96;
export const PAGE_CHECKSUMS = 1024;
export const SUPERBLOCK_SLOT = 128 * 1024;

const TOKEN = 'a token of the test';

export interface Integrity {
  readonly checksumErrors: number;
  readonly repairedBlocks: number;
  readonly divergentBlocks: number;
  readonly lostBlocks: number;
  readonly lastProblem: string | null;
  readonly scrub: {
    readonly state: string;
    readonly badBlocks: number;
    readonly lastCompletedAt: string | null;
  };
}

export class DamagedVolume {
  readonly volume: ReplicatedVolume;
  readonly directory: string;

  private constructor(volume: ReplicatedVolume, directory: string) {
    this.volume = volume;
    this.directory = directory;
  }

  static async start(
    directory: string,
    options: { replicas: number; sizeBytes: number },
  ): Promise<DamagedVolume> {
    const token = `${directory}.token`;
    writeFileSync(token, TOKEN, { mode: 0o600 });
    const volume = await ReplicatedVolume.start({
      ...options,
      directory,
      kind: 'unix',
      // A copy that was emptied comes back under its name.
      replicaSettings: (index) => ({
        flags: { 'replica-id': `00000000-0000-4000-8000-00000000000${index}` },
      }),
      targetFlags: { 'control-token-file': token, 'grace-seconds': '1' },
    });
    return new DamagedVolume(volume, directory);
  }

  login(): Promise<Disk> {
    return openDisk(this.volume.portal);
  }

  replicaDirectory(index: number): string {
    return `${this.directory}/replica-${index}`;
  }

  /** Turns a byte of a file of one replica over. */
  rot(index: number, file: string, offsetBytes: number): void {
    const path = `${this.replicaDirectory(index)}/${file}`;
    const fd = openSync(path, 'r+');
    const byte = readFileSync(path).subarray(offsetBytes, offsetBytes + 1);
    writeSync(fd, Buffer.from([~(byte[0] ?? 0) & 0xff]), 0, 1, offsetBytes);
    closeSync(fd);
  }

  /** The image of one replica, as its file says. */
  image(index: number, bytes: number): Buffer {
    return readFileSync(this.volume.imagePath(index)).subarray(0, bytes);
  }

  async integrity(): Promise<Integrity> {
    const { integrity } = (await this.volume.status()) as unknown as { integrity: Integrity };
    return integrity;
  }

  async scrubbed(): Promise<Integrity> {
    const before = (await this.integrity()).scrub.lastCompletedAt;
    await this.post('/v1/scrub');
    let now = await this.integrity();
    await until('the scrub', async () => {
      now = await this.integrity();
      return now.scrub.state === 'idle' && now.scrub.lastCompletedAt !== before;
    });
    return now;
  }

  async post(path: string, body?: object): Promise<void> {
    const response = await fetch(`http://${this.volume.target.ready.control}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(await response.text());
  }

  async metric(name: string): Promise<number> {
    const response = await fetch(`http://${this.volume.target.ready.control}/metrics`);
    const line = (await response.text()).split('\n').find((each) => each.startsWith(name));
    return Number(line?.split(' ').at(-1));
  }

  async replicaCounters(index: number): Promise<Readonly<Record<string, number>>> {
    const response = await fetch(`http://${this.volume.replicas[index]!.ready.control}/v1/status`);
    return ((await response.json()) as { counters: Record<string, number> }).counters;
  }

  log(): string {
    return this.volume.target.daemon.log.join('\n');
  }
}

export const until = async (
  what: string,
  condition: () => Promise<boolean> | boolean,
): Promise<void> => {
  const deadline = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what} did not end within 30 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

/** Every sector tells where it belongs and which writing it is of. */
export const pattern = (bytes: number, generation: number): Buffer => {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 512) {
    content.writeUInt32LE(at + 1, at);
    content.writeUInt32LE(generation, at + 4);
    content.fill(generation + (at >>> 12), at + 8, at + 512);
  }
  return content;
};
