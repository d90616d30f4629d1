import { setTimeout as delay } from 'node:timers/promises';
import { CheckingLoad } from '../crash/checking-load.ts';
import { type Disk, openDisk } from '../initiator/disk.ts';
import { SessionLost } from '../initiator/session.ts';
import { Random } from '../support/random.ts';

export interface PersistentDiskOptions {
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
}

/** As open-iscsi: a ping from time to time, and a connection without an answer to it is lost. */
const PING_EVERY_MS = 2_000;
const SILENCE_MS = 5_000;
const AGAIN_AFTER_MS = 200;
const MOST_SESSIONS = 50;
/** The target's control API, at the same address. */
const CONTROL_PORT = 9501;

interface TargetStatus {
  readonly replicas: readonly { readonly mode: string }[];
  readonly settings: { readonly rebuildBytesPerSecond: number | null } | null;
}

/** As the kernel's initiator: it logs in again, as the same, until it is let in. */
export class PersistentDisk {
  readonly #options: PersistentDiskOptions;
  /** Of the random format (RFC 7143 11.12.5); the same one makes the session be reinstated. */
  readonly #isid = Buffer.from([0x80, 1, 2, 3, 4, 5]);
  #disk: Disk | null = null;
  #busy: Promise<void> = Promise.resolve();
  #resting = true;

  constructor(options: PersistentDiskOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#disk !== null;
  }

  async open(loginTimeoutMs = SILENCE_MS): Promise<Disk> {
    this.#disk ??= await openDisk({ ...this.#options, isid: this.#isid, loginTimeoutMs });
    return this.#disk;
  }

  /** Until rest(), over any number of sessions. */
  keepBusy(load: CheckingLoad): void {
    this.#resting = false;
    this.#busy = this.#keepBusy(load);
    // Whoever awaits rest() sees it.
    this.#busy.catch(() => undefined);
  }

  /** With a calm load that begins with what is there. */
  async keepCalmlyBusy(sizeBytes: number, seed: number): Promise<CheckingLoad> {
    const load = new CheckingLoad({ sizeBytes, random: new Random(seed) });
    load.calm = true;
    load.startOver(await load.stamps(await this.open()));
    this.keepBusy(load);
    return load;
  }

  /** Rejects with what was lost, stale or torn. */
  async rest(load: CheckingLoad): Promise<void> {
    this.#resting = true;
    await load.stop();
    await this.#busy;
  }

  /** Reads all of it, over as many sessions as that takes; rejects as rest() does. */
  async verify(load: CheckingLoad): Promise<void> {
    for (let session = 1; ; session++) {
      try {
        await load.verify(await this.open());
        return;
      } catch (error) {
        if (!(error instanceof SessionLost) || session === MOST_SESSIONS) throw error;
        this.#disk = null;
        await delay(AGAIN_AFTER_MS);
      }
    }
  }

  close(): void {
    this.#resting = true;
    this.#disk?.session.destroy();
    this.#disk = null;
  }

  async isWhole(copies: number): Promise<boolean> {
    return (await this.copiesInSync()) === copies;
  }

  /** As the target says; null: it does not answer. */
  async copiesInSync(): Promise<number | null> {
    const status = await this.#status();
    return status?.replicas.filter(({ mode }) => mode === 'in-sync').length ?? null;
  }

  /** What the target copies in a second, at most; null: no limit, or it does not answer. */
  async rebuildLimit(): Promise<number | null> {
    return (await this.#status())?.settings?.rebuildBytesPerSecond ?? null;
  }

  async #status(): Promise<TargetStatus | null> {
    const url = `http://${this.#options.host}:${CONTROL_PORT}/v1/status`;
    const signal = AbortSignal.timeout(SILENCE_MS);
    const answer = await fetch(url, { signal }).catch(() => null);
    return answer === null ? null : ((await answer.json()) as TargetStatus);
  }

  /** Another turn may have changed it since it was last looked at. */
  #isResting(): boolean {
    return this.#resting;
  }

  async #keepBusy(load: CheckingLoad): Promise<void> {
    for (;;) {
      const disk = await this.open().catch(() => null);
      if (this.#isResting()) return;
      if (disk === null) {
        await delay(AGAIN_AFTER_MS);
        continue;
      }
      load.start(disk);
      const watching = this.#watch(disk);
      await load.ended();
      await watching;
      if (this.#isResting()) return;
      this.#disk = null;
    }
  }

  /** Until the session ends, or the load. */
  async #watch({ session }: Disk): Promise<void> {
    const over = new AbortController();
    void session.ended.then(() => over.abort());
    while (!this.#isResting() && !over.signal.aborted) {
      const answer = session.ping().then(
        () => true,
        () => true,
      );
      const silence = delay(SILENCE_MS, false, { ref: false });
      if (!(await Promise.race([answer, silence]))) session.destroy();
      await Promise.race([session.ended, delay(PING_EVERY_MS, null, { ref: false })]);
    }
  }
}
