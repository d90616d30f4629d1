import type { Mutant } from './mutant.ts';
import { edit, inServer as server, inStore as store, mutant } from './mutant.ts';

export const SERVER_MUTANTS: readonly Mutant[] = [
  mutant(
    'does not end older sessions at a promise',
    'I3',
    'targets',
    edit(
      server('server'),
      '      this.#fenceOthers(session);\n    }\n    this.#promise',
      '    }\n    this.#promise',
    ),
  ),
  mutant(
    'acknowledges what is not applied yet',
    'I2',
    'alone',
    edit(
      server('stream'),
      'this.#owner?.acknowledge(applied);',
      'this.#owner?.acknowledge(this.#lastSeq);',
    ),
  ),
  mutant(
    'lives on when its superblock cannot be written',
    'I11',
    'failing',
    edit(
      server('server'),
      '        // No later session could promise anything either, until the store is opened anew.\n        this.#giveUp(error);\n',
      '',
    ),
  ),
  mutant(
    'promises a lower epoch',
    'I3',
    'targets',
    edit(server('session-state'), 'if (epoch < highestEpoch) {', 'if (epoch < 0) {'),
    edit(store('durable-state'), 'if (epoch > promised.epoch) return;', 'if (epoch > 0) return;'),
  ),
];

export const STORE_MUTANTS: readonly Mutant[] = [
  mutant(
    'does not finish an atomic write when it is opened',
    'I6',
    'atomic',
    edit(store('redo-file'), '    if (isComplete) redo(this.payload, offsetBytes);\n', ''),
  ),
  mutant(
    'believes of an atomic write what only the page cache holds',
    'I1',
    'redone',
    edit(
      store('redo-file'),
      '    if (!isWhole) return false;\n    // The process before may have been killed between its write and its sync. A state that stood in\n    // the page cache alone could fall back to pending, and the write be done again over newer ones.\n    this.#file.syncNow();\n',
      '    if (!isWhole) return false;\n',
    ),
  ),
  mutant(
    'writes an atomic write in its place before the record is durable',
    'I6',
    'atomic',
    edit(
      store('atomic-writer'),
      '    redo.begin({ ...range',
      '    this.#options.write({ ...range, version: when, chunks, checksums });\n    redo.begin({ ...range',
    ),
  ),
  mutant(
    'answers a promise before it is durable',
    'I3',
    'failing',
    edit(
      store('durable-state'),
      'await this.#change({ promised: { epoch, session } });',
      'void this.#change({ promised: { epoch, session } }).catch(() => undefined);',
    ),
  ),
  mutant(
    'answers a record before it is durable',
    'I2',
    'failing',
    edit(
      store('durable-state'),
      '    await this.#change({\n      record,',
      '    void this.#change({\n      record,',
    ),
  ),
  mutant(
    'does not know that its machine stopped',
    'I2',
    'uneven',
    edit(store('durable-state'), 'intact: intact && (clean || sameBoot)', 'intact'),
  ),
  mutant(
    'answers a flush without one',
    'I1',
    'flushed',
    edit(store('data-store'), 'else this.#parts.commits.flush(done);', 'else done(null);'),
  ),
  mutant(
    'applies what an older session has left waiting',
    'I4',
    'leftover',
    edit(
      store('data-store'),
      "    this.#queue.drop(\n      new StoreError('EPOCH_STALE',",
      "    Object(\n      new StoreError('EPOCH_STALE',",
    ),
  ),
  mutant(
    'a curable failure hides one that is not',
    'I11',
    'failing',
    edit(
      store('data-store'),
      'if (this.#failure !== null && (isCurable(error) || !isCurable(this.#failure))) return;',
      'if (this.#failure !== null) return;',
    ),
  ),
  mutant(
    'writes to a region before its mark is durable',
    'I4',
    'marked',
    edit(
      store('regions'),
      'if (region?.durable !== true) return false;',
      'if (region === undefined) return false;',
    ),
  ),
  mutant(
    'clears a mark although the region was written meanwhile',
    'I4',
    'marked',
    edit(
      store('regions'),
      'if (!region.touched && region.untrusted === 0) {',
      'if (region.untrusted === 0) {',
    ),
  ),
  mutant(
    'clears marks without writing the pages',
    'I4',
    'alone',
    edit(
      store('regions'),
      'if (!region.touched) this.#options.writePages(region.index);',
      'region.touched ||= false;',
    ),
  ),
  mutant(
    'trusts the pages of marked regions after a crash',
    'I4',
    'power',
    edit(
      store('regions'),
      'region.untrusted = (1 << EXTENTS_PER_REGION) - 1;',
      'region.untrusted = 0;',
    ),
  ),
  mutant(
    'gives an extent no new version with a write',
    'I4',
    'crash',
    edit(store('writer'), '      this.#editor.advance(page, write.version);\n', ''),
  ),
  mutant(
    'tells provisional versions as known',
    'I4',
    'seesaw',
    edit(
      store('standing'),
      'page.setVersion(version, !this.#member);',
      'page.setVersion(version, false);',
    ),
  ),
  mutant(
    'returns a block that does not have its checksum',
    'I9',
    'disk',
    edit(store('reader'), 'if (crc32(bytes) !== checksum) return this.#rot(at);', ''),
  ),
  mutant(
    'overwrites the newer slot',
    'I1',
    'failing',
    edit(
      store('two-slot-file'),
      'const target = this.#newest === 0 ? 1 : 0;',
      'const target = this.#newest;',
    ),
  ),
  mutant(
    'believes the older slot',
    'I3',
    'power',
    edit(
      store('two-slot-file'),
      'first.generation >= second.generation',
      'first.generation <= second.generation',
    ),
  ),
];

export const LAYER_MUTANTS: readonly Mutant[] = [
  mutant(
    'merges a hole as zeroes',
    'I9',
    'layers',
    edit(
      store('frozen-merge'),
      'for (const [from, to] of runs((block) => below.isAllocated(block) && lacks(block))) {',
      'for (const [from, to] of runs((block) => below.isAllocated(block))) {',
    ),
  ),
  mutant(
    'forgets in a merge what the lower layer hides',
    'I10',
    'hollow',
    edit(
      store('head-merge'),
      'runs((block) => below.hides(block) && !page.hides(block))',
      'runs((block) => below.hides(block) && page.hides(block))',
    ),
  ),
  mutant(
    'shows what an older layer holds where a block was unmapped',
    'I10',
    'hollow',
    edit(
      store('range-writer'),
      '          page.hide(block);\n      } else this.#punch(at, stop);',
      '          page.unhide(block);\n      } else this.#punch(at, stop);',
    ),
  ),
  mutant(
    'merges an older block over a newer one',
    'I9',
    'layers',
    edit(
      store('head-merge'),
      'for (const [from, to] of runs((block) => below.isAllocated(block) && lacks(block))) {',
      'for (const [from, to] of runs((block) => below.isAllocated(block))) {',
    ),
  ),
  mutant(
    'keeps the checksum of a block that was unmapped',
    'I9',
    'layers',
    edit(
      store('range-writer'),
      '        if (at >= first && at < last) page.deallocate(block);\n',
      '',
    ),
  ),
];
