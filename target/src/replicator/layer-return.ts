import { copyLayer } from './layer-copy.ts';
import { changesToConform, layersToAdopt, type LayerTree } from './layer-tree.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';

export interface LayerReturn {
  readonly tree: LayerTree;
  readonly member: Member;
  /** In-sync members; throws when this resynchronisation is over. */
  readonly sources: () => readonly Member[];
  readonly sizeBytes: () => number;
  /** So many layers are filled of those that have to be, the last one perhaps in part. */
  readonly filled: (done: number, layers: number) => void;
  /** The source's copy of a layer is bad there, and the member that comes back may have it. */
  readonly mend: (source: Member, offsetBytes: number) => Promise<void>;
  /** See LayerCopy. */
  readonly turn: () => Promise<void>;
  readonly finished: (bytes: number) => void;
}

/**
 * Before a member that was away takes the stream: it gets the layers that the volume has now. Then
 * its head, whatever that holds, is brought up to date as ever.
 */
export const bringLayers = async (work: LayerReturn): Promise<void> => {
  const { tree, member, sources } = work;
  const held = await member.refresh();
  sources();
  const changes = changesToConform(held, tree, { forward: false });
  if (changes !== null) {
    for (const change of changes) await member.putLayers(change);
    return;
  }
  const rotten = new Set<Member>();
  const mended = new Set<string>();
  let failure: Error = new RangeError('no in-sync member to copy layers from');
  for (;;) {
    const source = sources().find((each) => !rotten.has(each));
    if (source === undefined) throw failure;
    try {
      await bringFrom(work, source);
      return;
    } catch (error) {
      if (!(error instanceof MemberError) || error.code !== 'CHECKSUM_MISMATCH') throw error;
      const { offsetBytes } = error;
      const place = `${source.index} ${offsetBytes ?? ''}`;
      if (offsetBytes !== null && !mended.has(place)) {
        mended.add(place);
        await work.mend(source, offsetBytes);
        continue;
      }
      // What has rotted there may be sound elsewhere; what was copied already stays.
      rotten.add(source);
      failure = error;
    }
  }
};

const bringFrom = async (work: LayerReturn, source: Member): Promise<void> => {
  const { member, sources } = work;
  const held = await member.refresh();
  await source.putLayers({ change: 'pause-merges' });
  try {
    const from = await source.refresh();
    sources();
    await member.putLayers(layersToAdopt(from, held));
    await fill(work, source);
  } finally {
    await resumeMerges(source);
  }
};

/** The oldest first: what a layer holds may depend on those below it. */
const fill = async (work: LayerReturn, source: Member): Promise<void> => {
  const { member, sources } = work;
  const { layers, headLayer } = await member.refresh();
  const incomplete = layers.filter(({ id, complete }) => !complete && id !== headLayer);
  const ordered = [...incomplete].sort((a, b) => a.id - b.id);
  for (const [index, { id }] of ordered.entries()) {
    await copyLayer({
      layer: id,
      source,
      member,
      sizeBytes: work.sizeBytes(),
      reached: (share) => work.filled(index + share, ordered.length),
      turn: work.turn,
      finished: work.finished,
    });
    sources();
    await member.putLayers({ change: 'complete', layer: id });
  }
};

/** Its next session would do it, too. */
const resumeMerges = async (source: Member): Promise<void> => {
  try {
    await source.putLayers({ change: 'resume-merges' });
  } catch (error) {
    if (!(error instanceof MemberError)) throw error;
  }
};
