import { DaemonOptions, parseSize, path } from './runtime/index.ts';
import { isUuid } from './protocol/index.ts';
import { openStore, StoreError } from './store/index.ts';

const EXIT_DONE = 0;
const EXIT_CANNOT_CLONE = 1;

interface CloneOptions {
  readonly directory: string;
  readonly volumeId: string;
  readonly replicaId: string;
  readonly sizeBytes: number;
  readonly from: string;
  readonly layer: number;
}

/** Throws RangeError that says what is wrong. */
export const parseUuid = (text: string): string => {
  const uuid = text.toLowerCase();
  if (isUuid(uuid)) return uuid;
  throw new RangeError(
    `"${text}" is no UUID; write it as 8-4-4-4-12 hexadecimal digits (uuidgen makes one).`,
  );
};

const parseLayer = (text: string): number => {
  const layer = Number(text);
  if (Number.isSafeInteger(layer) && layer > 0) return layer;
  throw new RangeError(`"${text}" is no id of a layer; it is a whole number from 1 on.`);
};

const parseOptions = (args: readonly string[], version: string): CloneOptions => {
  const options = new DaemonOptions({
    name: 'replica clone',
    description:
      'Makes the copy of a new volume from a snapshot of a copy of another volume, which may be in use. ' +
      'Both share the blocks: the files of the snapshot get a second name, so both directories are on one file system. ' +
      'Done already: nothing is done.\n\n' +
      'Exit codes: 0 made, 1 it cannot be made, 2 wrong command line.',
    version,
  });
  const directory = options.requiredFlag({
    flags: '--dir <path>',
    description: 'Directory of the new copy; made when it does not exist.',
    parse: (text) => path.resolve(text),
  });
  const from = options.requiredFlag({
    flags: '--from <path>',
    description: 'Directory of the copy that has the snapshot.',
    parse: (text) => path.resolve(text),
  });
  const layer = options.requiredFlag({
    flags: '--layer <id>',
    description: 'The snapshot, by the id of its layer (GET /v1/snapshots of the target).',
    parse: parseLayer,
  });
  const volumeId = options.requiredFlag({
    flags: '--volume-id <uuid>',
    description: 'Identity of the new volume; all its copies have the same.',
    parse: parseUuid,
  });
  const replicaId = options.requiredFlag({
    flags: '--replica-id <uuid>',
    description: 'Identity of the new copy.',
    parse: parseUuid,
  });
  const sizeBytes = options.requiredFlag({
    flags: '--size <size>',
    description: 'Size of the new volume, at least that of the snapshot; bytes or as in 1GiB.',
    parse: parseSize,
  });
  options.parse([process.argv[0] ?? '', 'replica clone', ...args]);
  return {
    directory: directory(),
    volumeId: volumeId(),
    replicaId: replicaId(),
    sizeBytes: sizeBytes(),
    from: from(),
    layer: layer(),
  };
};

/** Resolves with the exit code. */
export const cloneCommand = async (args: readonly string[], version: string): Promise<number> => {
  const { directory, from, layer, volumeId, replicaId, sizeBytes } = parseOptions(args, version);
  try {
    const store = await openStore({
      directory,
      cloneFrom: { directory: from, layer },
      create: { volumeId, replicaId, role: 'data', sizeBytes },
    });
    await store.close();
    return EXIT_DONE;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    process.stderr.write(`replica: ${error.code}: ${error.message}\n`);
    return EXIT_CANNOT_CLONE;
  }
};
