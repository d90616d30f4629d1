import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { MAX_NAME_CHARACTERS, REPLICA_STOP_MS } from '../../limits.ts';
import { Problem } from '../../problem.ts';
import { formatSize } from '../../size.ts';
import { counted } from '../../wrap.ts';
import type { CloneSpec, SourceView } from '../orchestrator.ts';
import { cloneCommand } from './daemons.ts';
import { markProcess, unmarkProcess } from './leftovers.ts';
import { memberName, type MemberRecord, type VolumeRecord } from './record.ts';
import { createSnapshot, idsInSync, layerUsage, targetSnapshots } from './volume-snapshots.ts';
import type { SnapshotPlaces } from './volume-snapshots.ts';

/** What a clone needs to know of the volume that it is made of. */
export interface CloneOrigin {
  readonly record: VolumeRecord;
  readonly places: SnapshotPlaces;
  /** Those that stay, and hold everything as far as the last look at the target tells. */
  readonly copies: readonly OriginCopy[];
}

export interface OriginCopy {
  readonly id: string;
  readonly directory: string;
}

export interface ClonePlan {
  readonly source: SourceView;
  /** The snapshot's. */
  readonly layer: number;
  readonly sizeBytes: number;
  /** One directory of the origin for each replica of the clone. */
  readonly copies: readonly string[];
}

/** What will be made. Takes the snapshot where none was named. Throws Problem. */
export async function planClone(spec: CloneSpec, origin: CloneOrigin): Promise<ClonePlan> {
  const { record, places } = origin;
  // Before a snapshot is made for nothing.
  chooseCopies(spec, origin);
  const snapshot = spec.source.snapshot ?? (await takeSnapshot(spec, places));
  const found = (await targetSnapshots(places)).find(({ name }) => name === snapshot);
  if (found === undefined) {
    throw new Problem('snapshot-not-found', `volume ${record.name} has no snapshot ${snapshot}`, {
      next: `mayactl snapshot list ${record.name}`,
    });
  }
  const { layer } = found;
  // Who is in sync once the snapshot is there holds it as it was decided. A copy that was lost
  // when it was made may hold what an earlier attempt, undone everywhere else, has left.
  const inSync = await idsInSync(places);
  const whole = origin.copies.filter(({ id }) => inSync.has(id));
  const copies = chooseCopies(spec, { ...origin, copies: whole });
  const leastBytes = (await layerUsage(places)).get(layer)?.sizeBytes;
  if (leastBytes === undefined) {
    throw new Problem('volume-not-ready', `no replica of volume ${record.name} answers now`, {
      next: `see why: mayactl volume info ${record.name}`,
    });
  }
  if (spec.sizeBytes !== null && spec.sizeBytes < leastBytes) {
    throw new Problem(
      'size-invalid',
      `a clone of ${record.name}@${snapshot} has at least its ${formatSize(leastBytes)} (${leastBytes} bytes)`,
      { next: 'leave the size out, or ask for more' },
    );
  }
  return {
    source: { volume: record.name, volumeId: record.id, snapshot },
    layer,
    sizeBytes: spec.sizeBytes ?? leastBytes,
    copies,
  };
}

/** Each replica of a clone shares the files of one replica of its origin. */
function chooseCopies({ replicas }: CloneSpec, { record, copies }: CloneOrigin): readonly string[] {
  const has = record.members.filter(({ role, leaving }) => role === 'data' && leaving !== true);
  const wanted = replicas ?? has.length;
  if (wanted <= copies.length) return copies.slice(0, wanted).map(({ directory }) => directory);
  const held = `volume ${record.name} has ${counted(copies.length, 'replica')} in sync`;
  const advice =
    copies.length === 0
      ? `wait until one is in sync: mayactl volume info ${record.name} --watch`
      : `ask for ${copies.length} (--replicas ${copies.length}) and add others later, or wait until more are in sync`;
  throw new Problem(
    'clone-refused',
    `${held}, the clone shall have ${wanted}: each shares the blocks of one of them`,
    { next: advice },
  );
}

/** `clone-NAME`, or with a number behind it where there is one of an earlier attempt. */
async function takeSnapshot({ name }: CloneSpec, places: SnapshotPlaces): Promise<string> {
  for (let turn = 1; ; turn++) {
    const suffix = turn === 1 ? '' : `-${turn}`;
    const stem = `clone-${name}`.slice(0, MAX_NAME_CHARACTERS - suffix.length);
    const snapshot = `${stem.replace(/-+$/, '')}${suffix}`;
    try {
      return (await createSnapshot(places, snapshot)).name;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'snapshot-exists') throw error;
    }
  }
}

export interface CloneWork {
  readonly record: VolumeRecord;
  readonly layer: number;
  /** One directory of the origin for each replica. */
  readonly copies: readonly string[];
  /** Of the volume that is made. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly markDirectory: string;
}

/** Resolves when all copies are whole and durable. Throws Problem. */
export async function cloneCopies(work: CloneWork): Promise<void> {
  const data = work.record.members.filter(({ role }) => role === 'data');
  const made = data.map((member, index) => cloneCopy(work, member, work.copies[index] ?? ''));
  // All of them have ended before what they made is removed.
  await Promise.allSettled(made);
  await Promise.all(made);
}

function cloneCopy(work: CloneWork, member: MemberRecord, from: string): Promise<void> {
  const { record, layer, env, markDirectory } = work;
  const replica = memberName(member);
  const directory = join(work.directory, replica);
  const { command, args } = cloneCommand(record, member, { directory, from, layer });
  const mark = `${record.name}.${replica}`;
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { env, timeout: REPLICA_STOP_MS }, (error, _, stderr) => {
      unmarkProcess(markDirectory, mark);
      if (error === null) resolve();
      else reject(cloneProblem(record, stderr.trim() || error.message));
    });
    // A start after a crash waits for it.
    if (child.pid !== undefined) markProcess(markDirectory, mark, child.pid);
  });
}

/** What the replica says is `replica: CODE: why and what to do`. */
function cloneProblem({ name, source }: VolumeRecord, words: string): Problem {
  const [, code, why] = /^replica: ([A-Z_]+): (.*)$/s.exec(words) ?? [];
  const from = source === null ? '' : ` of ${source.volume}@${source.snapshot}`;
  return new Problem(
    code === 'NO_SPACE' ? 'no-space' : 'clone-refused',
    `volume ${name} cannot be made as a clone${from}, nothing was kept: ${why ?? words}`,
    { next: 'try again when that is mended' },
  );
}
