import type { Epoch } from '@openebs/replica/protocol';
import { DocumentError, readDocument, writeDocument, type DocumentQuorum } from './documents.ts';
import {
  changesToConform,
  commonTree,
  decodeTree,
  encodeTree,
  LayerTreeError,
  reserveIds,
  type HeldTree,
  type LayerTree,
} from './layer-tree.ts';
import { LAYERS_DOCUMENT } from './layers.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';

export interface LayerActivation {
  readonly epoch: Epoch;
  readonly quorum: DocumentQuorum;
  /** In sync; whose data the volume continues with comes first. */
  readonly members: readonly Member[];
}

/**
 * Before anything is read or written: finds what was decided about the layers, makes it certain,
 * and has the in-sync members follow. Rejects with MemberError where one cannot.
 */
export const activateLayers = async (activation: LayerActivation): Promise<LayerTree> => {
  const { members } = activation;
  const held = members.map(heldBy);
  const [source] = held;
  if (source === undefined) throw new RangeError('an activation without a member');
  const tree = withUnusedIds(
    (await decided(activation)) ?? commonTree(source, held),
    held.flatMap(({ layers }) => layers.map(({ id }) => id)),
  );
  await makeCertain(activation, tree);
  await Promise.all(members.map((member) => follow(member, tree)));
  return tree;
};

const heldBy = (member: Member): HeldTree => {
  if (member.known === null) throw failure(member, 'has not said what layers it has');
  return member.known;
};

const follow = async (member: Member, tree: LayerTree): Promise<void> => {
  const changes = changesToConform(heldBy(member), tree, { forward: true });
  if (changes === null) {
    const held = heldBy(member).layers.map(({ id }) => id);
    const wanted = tree.layers.map(({ id }) => id);
    throw failure(member, `has layers ${held.join(', ')} and should have ${wanted.join(', ')}`);
  }
  for (const change of changes) await member.putLayers(change);
};

const withUnusedIds = (tree: LayerTree, used: readonly number[]): LayerTree =>
  reserveIds(tree, Math.max(...used) + 1);

/** What a majority has is in force; what a minority has becomes so, since it may have been told. */
const decided = async ({ quorum, members }: LayerActivation): Promise<LayerTree | null> => {
  try {
    const document = await readDocument(LAYERS_DOCUMENT, quorum);
    return document === null ? null : decodeTree(document.content);
  } catch (error) {
    throw asMemberError(error, members);
  }
};

/**
 * A voter that is absent may hold a later document than all that were asked, which was never in
 * force: from now on this one is later.
 */
const makeCertain = async (
  { quorum, members, epoch }: LayerActivation,
  tree: LayerTree,
): Promise<void> => {
  const present = new Set(quorum.present.map(({ id }) => id));
  if (quorum.voters.every((voter) => present.has(voter))) return;
  try {
    const document = { epoch, count: 0, content: encodeTree(tree) };
    await writeDocument(LAYERS_DOCUMENT, document, quorum);
  } catch (error) {
    throw asMemberError(error, members);
  }
};

/** The activation starts over. */
const asMemberError = (error: unknown, members: readonly Member[]): unknown => {
  if (!(error instanceof DocumentError) && !(error instanceof LayerTreeError)) return error;
  return failure(members[0], error.message);
};

const failure = (member: Member | undefined, message: string): MemberError =>
  new MemberError({ code: 'LAYERS', message, offsetBytes: null }, member?.address ?? 'the voters');
