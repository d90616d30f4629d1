import type { Mutant } from './mutant.ts';
import { edit, inStore as store, mutant } from './mutant.ts';

/** What volumes do to each other that share blocks. */
export const CLONE_MUTANTS: readonly Mutant[] = [
  mutant(
    'merges layers that a clone shares',
    'I9',
    'cloned',
    edit(store('merger'), 'return layers.frozen(id).shared;', 'return layers.frozen(id) === null;'),
  ),
  mutant(
    'begins a merge without a mark that a clone could see',
    'I9',
    'meeting',
    edit(store('merger'), '      if (!lower.merging) {\n', '      if (lower.merging) {\n'),
    edit(
      store('merger'),
      '      if (isShared(layers, lower.id) || isShared(layers, upper.id)) {\n        await',
      '      if (isShared(layers, lower.id) && !isShared(layers, lower.id)) {\n        await',
    ),
  ),
  mutant(
    'clones the layers that there were before their files were linked',
    'I9',
    'meeting',
    edit(
      store('clone'),
      '    const before = chainToClone(readSuperblock(source), layer);\n',
      '    const origin = readSuperblock(source);\n    const before = chainToClone(origin, layer);\n',
    ),
    edit(
      store('clone'),
      '    const origin = readSuperblock(source);\n    const chain = chainToClone(origin, layer);\n',
      '    const chain = before;\n',
    ),
  ),
  mutant(
    'clones files although the layers have changed while they were linked',
    'I1',
    'meeting',
    edit(
      store('clone'),
      '    if (linked && namesOf(chain) === namesOf(before)) return { origin, chain };',
      '    if (linked && namesOf(chain) !== namesOf([])) return { origin, chain };',
    ),
  ),
  mutant(
    'does not know in a clone that one of its layers is being merged',
    'I9',
    'meeting',
    edit(store('clone'), 'merging: layer.merging && index > 0 }', 'merging: index < 0 }'),
  ),
  mutant(
    'takes the names of snapshots into a clone',
    'I7',
    'cloned',
    edit(store('clone'), '{ ...layer, name: null, merging:', '{ ...layer, merging:'),
  ),
  mutant(
    'leaves what an attempt to make a clone has linked',
    'I11',
    'cloned',
    edit(
      store('clone'),
      '    removeLeftovers(disk);\n',
      '    if (attempt < 0) removeLeftovers(disk);\n',
    ),
  ),
  mutant(
    'makes a clone visible before it is whole',
    'I1',
    'cloned',
    edit(
      store('clone'),
      '  const { origin, chain } = linkChain(disk, source, layer);\n',
      '  TwoSlotFile.create(disk, SUPERBLOCK, encodeSuperblock({ ...readSuperblock(source), identity: create }));\n' +
        '  const { origin, chain } = linkChain(disk, source, layer);\n',
    ),
  ),
  mutant(
    'makes files visible before their content is durable',
    'I1',
    'cloned',
    edit(
      store('two-slot-file'),
      '      file.syncNow();\n    } finally {\n      file.close();\n    }\n    disk.rename',
      '    } finally {\n      file.close();\n    }\n    disk.rename',
    ),
  ),
  mutant(
    'empties the files of a layer that is deleted',
    'I7',
    'cloned',
    edit(
      store('layer-files'),
      '      this.disk.remove(name);\n    }\n  }\n',
      '      const file = this.disk.open(name);\n      file.punchHole(0, file.size());\n      this.disk.remove(name);\n    }\n  }\n',
    ),
  ),
  mutant(
    'never asks again whether a clone shares a layer',
    'I11',
    'cloned',
    edit(
      store('frozen-layer'),
      '  get shared(): boolean {\n    return this.data.file.links() > 1;',
      '  #shared: boolean | null = null;\n  get shared(): boolean {\n    return (this.#shared ??= this.data.file.links() > 1);',
    ),
  ),
];
