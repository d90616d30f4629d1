import type { Mutant } from './mutant.ts';
import { edit, inReplicator as target, inStore as store, mutant } from './mutant.ts';

/** Bad blocks that are found and written again. */
export const REPAIR_MUTANTS: readonly Mutant[] = [
  mutant(
    'repairs from whoever takes the stream',
    'I5',
    'mended',
    edit(
      target('replicator'),
      'this.repairs = new Repairs(resync, readers);',
      'this.repairs = new Repairs(resync, () => [...this.stream.members].reverse());',
    ),
  ),
  mutant(
    'repairs without the lock of the extent, and compares nothing afterwards',
    'I4',
    'overtaking',
    edit(
      target('repair'),
      "const lock = await lockRange(locks, { offsetBytes, lengthBytes, mode: 'exclusive' });",
      "const lock = await lockRange(locks, { offsetBytes, lengthBytes: 512, mode: 'shared' });",
    ),
    edit(
      target('repair'),
      'await bringExtent(this.#context, member, others, extent);',
      'Object(bringExtent);',
    ),
  ),
  mutant(
    'counts a block of a snapshot as repaired that nobody could give',
    'I9',
    'scrubbed',
    edit(
      target('layer-repair'),
      '      if (!(error instanceof MemberError) || !member.inSync) throw error;',
      '      if (error instanceof MemberError) return true;',
    ),
  ),
  mutant(
    'asks for a lost block of a snapshot only in the layer that lost it',
    'I9',
    'buried',
    edit(target('layer-repair'), 'if (top !== undefined) layers.push(top.id);', ''),
  ),
  mutant(
    'does not ask whoever comes back for what its source has lost',
    'I11',
    'buried',
    edit(target('layer-return'), '        await work.mend(source, offsetBytes);\n', ''),
  ),
  mutant(
    'takes what has rotted for a difference of copies',
    'I4',
    'buried',
    edit(
      target('scrub'),
      '      if (found.some((each) => badBlocksOf(each) > 0)) return false;',
      '      Object(found);',
    ),
  ),
  mutant(
    'scrubs only what the volume shows',
    'I9',
    'buried',
    edit(
      target('scrub-extents'),
      'for (const layer of hiddenLayers(layers, headLayer)) {',
      'for (const layer of hiddenLayers(layers, headLayer).slice(Infinity)) {',
    ),
  ),
  mutant(
    'forgets in a scrub what it was asked for while it could not go on',
    'I11',
    'scrubbed',
    edit(target('scrub'), '      this.#requested = true;\n', ''),
  ),
];

/** What scrubs find in a store, and what is written again. */
export const SCRUB_MUTANTS: readonly Mutant[] = [
  mutant(
    'scrubs no frozen layer',
    'I9',
    'scrubbed',
    edit(
      store('scrub'),
      'layers: [null, ...this.#set.frozenLayers.map(({ id }) => id)],',
      'layers: [null, ...this.#set.frozenLayers.slice(Infinity).map(({ id }) => id)],',
    ),
  ),
  mutant(
    'scrubs the layers of a tree that is not open yet',
    'crash',
    'buried',
    edit(
      store('scrub'),
      '...this.#set.frozenLayers.map(({ id }) => id)],',
      '...this.#set.tree.layers.flatMap(({ id }) => id === this.#set.stack.headId ? [] : [this.#set.frozen(id).id])],',
    ),
  ),
  mutant(
    'answers that a block of a snapshot is mended before it is durable',
    'I9',
    'buried',
    edit(
      store('layer-filler'),
      'frozen.data.sync((cause) =>\n          done(cause === null',
      'void ((told: (cause: Error | null) => void) => told(null))((cause) =>\n          done(cause === null',
    ),
  ),
  mutant(
    'fills an extent of a snapshot anew and writes no page for it',
    'I9',
    'buried',
    edit(
      store('layer-filler'),
      '    frozen.meta.file.write(page.bytes, page.extent * page.bytes.length);\n    frozen.changed();\n    this.#layers',
      '    frozen.changed();\n    this.#layers',
    ),
  ),
  mutant(
    'keeps nothing in the data file of an extent that only hides',
    'I9',
    'blanked',
    edit(store('hidden-blocks'), '    data.write(zeroes, ', '    Object('),
    edit(store('hidden-blocks'), '&& block !== kept;', '&& kept !== -1;'),
  ),
  mutant(
    'tries a merge that rot stops again before any other one',
    'I9',
    'buried',
    edit(store('merger'), '      if (this.#failedLayers.has(lower.id)) continue;\n', ''),
  ),
];
