import { temporaryDirectory } from './daemons.ts';
import { ReplicatedVolume, type ReplicatedVolumeOptions } from './replicated-volume.ts';

const LOG_LINES_SHOWN = 30;

export type FixtureOptions = Pick<ReplicatedVolumeOptions, 'sizeBytes' | 'targetFlags'>;

/** Given the volume's directory, so that it can write there what the daemons are told to read. */
export type PrepareFixture = (directory: string) => FixtureOptions | Promise<FixtureOptions>;

export interface VolumeFixture {
  readonly directory: string;
  readonly volume: ReplicatedVolume;
  /** `iscsi://127.0.0.1:PORT/IQN/0`, as libiscsi and QEMU take it. */
  url(user?: { name: string; secret: string }): string;
}

/**
 * A volume with three replica processes for all tests of the `describe` that calls this. When the
 * first of them fails, the last words of every daemon are printed. Read the fixture's fields in
 * hooks and tests only.
 */
export function useVolume(prepare: PrepareFixture): VolumeFixture {
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume | null = null;
  let hasPrinted = false;

  before(async () => {
    volume = new ReplicatedVolume({
      ...(await prepare(directory.path)),
      directory: directory.path,
      replicas: 3,
      kind: 'unix',
    });
    await volume.start();
  });
  afterEach(function () {
    if (this.currentTest?.state !== 'failed' || volume === null || hasPrinted) return;
    hasPrinted = true;
    printLogs(volume);
  });
  after(async () => {
    await volume?.stop();
    directory.remove();
  });

  const started = (): ReplicatedVolume => {
    if (volume === null) throw new Error('the volume runs only while tests do');
    return volume;
  };
  return {
    directory: directory.path,
    get volume() {
      return started();
    },
    url(user) {
      const { host, port, targetName } = started().portal;
      const login = user === undefined ? '' : `${user.name}%${user.secret}@`;
      return `iscsi://${login}${host}:${port}/${targetName}/0`;
    },
  };
}

function printLogs(volume: ReplicatedVolume): void {
  const daemons = [
    ['target', volume.target] as const,
    ...volume.replicas.map((replica, index) => [`replica ${index}`, replica] as const),
  ];
  for (const [name, running] of daemons) {
    const lines = running?.daemon.log.slice(-LOG_LINES_SHOWN) ?? [];
    console.log(
      `      last words of ${name}:\n${lines.map((line) => `        ${line}\n`).join('')}`,
    );
  }
}
