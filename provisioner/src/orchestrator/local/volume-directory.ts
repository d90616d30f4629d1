import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory } from './atomic-file.ts';
import {
  CREATING_RECORD_FILE,
  DELETED_RECORD_FILE,
  RECORD_FILE,
  writeRecord,
  type VolumeRecord,
} from './record.ts';

/**
 * The directory of a volume exists for users between two renames of its record:
 *
 *   volume.json.creating --everything else is there--> volume.json --delete--> volume.json.deleted
 *
 * What a start finds under one of the other names is removed.
 */
export interface VolumeDirectory {
  readonly directory: string;
  readonly logDirectory: string;
}

/** `fill` makes what the volume begins with; where it fails nothing stays. */
export async function makeVolume(
  where: VolumeDirectory,
  record: VolumeRecord,
  fill: () => Promise<void>,
): Promise<void> {
  const { directory } = where;
  await mkdir(directory, { mode: 0o700 });
  try {
    await writeRecord(directory, record, CREATING_RECORD_FILE);
    await syncDirectory(dirname(directory));
    await fill();
    await rename(join(directory, CREATING_RECORD_FILE), join(directory, RECORD_FILE));
    await syncDirectory(directory);
  } catch (error) {
    await removeVolume(where, CREATING_RECORD_FILE);
    throw error;
  }
}

/** Durable; from here on the volume is gone for its users, also after a restart. */
export async function markDeleted(directory: string): Promise<void> {
  await rename(join(directory, RECORD_FILE), join(directory, DELETED_RECORD_FILE));
  await syncDirectory(directory);
}

/** The mark goes last: until then the next start goes on with it. */
export async function removeVolume(
  { directory, logDirectory }: VolumeDirectory,
  mark = DELETED_RECORD_FILE,
): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name !== mark) await rm(join(directory, name), { recursive: true });
  }
  await syncDirectory(directory);
  await rm(directory, { recursive: true });
  await rm(logDirectory, { recursive: true, force: true });
}

/** Removes what an interrupted creation or deletion has left; false: it is a volume. */
export async function removeIfUnfinished(where: VolumeDirectory): Promise<boolean> {
  const names = await readdir(where.directory);
  if (names.includes(RECORD_FILE)) return false;
  const mark = [DELETED_RECORD_FILE, CREATING_RECORD_FILE].find((name) => names.includes(name));
  if (mark !== undefined) {
    await removeVolume(where, mark);
    return true;
  }
  // Killed before the first name was durable.
  if (names.some((name) => name !== `${CREATING_RECORD_FILE}.new`)) return false;
  await rm(where.directory, { recursive: true });
  return true;
}
