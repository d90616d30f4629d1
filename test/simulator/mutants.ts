/** A bug that is planted: one place of one file, changed. */
export interface Mutant {
  readonly name: string;
  /** The invariant that it breaks first, in most runs. */
  readonly invariant: string;
  readonly file: string;
  /** Occurs exactly once. */
  readonly find: string;
  readonly replace: string;
}

const target = (file: string): string => `target/src/replicator/${file}.ts`;
const store = (file: string): string => `replica/src/store/${file}.ts`;
const server = (file: string): string => `replica/src/server/${file}.ts`;

const mutant = (
  name: string,
  invariant: string,
  file: string,
  find: string,
  replace: string,
): Mutant => ({ name, invariant, file, find, replace });

/** Bugs as people make them in such code. The product itself has no switch for any of them. */
export const MUTANTS: readonly Mutant[] = [
  // Membership and fencing.
  mutant(
    'acknowledges before the record that removes a member is in force',
    'I2',
    target('assembly'),
    'setRequired(quorum && complete ? required : null)',
    'setRequired(quorum ? required : null)',
  ),
  mutant(
    'acknowledges without a majority',
    'I8',
    target('assembly'),
    'const quorum = this.electorate.hasMajority;',
    'const quorum = this.electorate.hasMajority || true;',
  ),
  mutant(
    'takes a record for durable at the first voter',
    'I2',
    target('records'),
    'if (!decides(voters, durable, this.forgetful)) return;',
    '',
  ),
  mutant(
    'serves before the record of the activation is durable',
    'I2',
    target('activation'),
    '  await putRecord(host, record, members);',
    '  void putRecord(host, record, members).catch(() => undefined);',
  ),
  mutant(
    'serves on a majority of one',
    'I2',
    target('membership'),
    'Math.floor(voters.length / 2) + 1',
    'Math.min(1, voters.length)',
  ),
  mutant(
    'chooses an epoch that was promised already',
    'I11',
    target('membership'),
    'epoch: epoch(highest + 1)',
    'epoch: epoch(Math.max(highest, 1))',
  ),
  mutant(
    'comes back after it was replaced, with its held writes',
    'I6',
    target('activation'),
    'hasServed && record !== null && !recordEpochs.has(record.epoch)',
    'false',
  ),
  mutant(
    'believes the oldest record',
    'I2',
    target('membership'),
    '(newest === null || isNewer(state.record, newest))',
    '(newest === null || isNewer(newest, state.record))',
  ),
  mutant(
    'takes a copy that lost power as the source beside an intact one',
    'I2',
    target('membership'),
    'const trusted = intact.length > 0 ? intact : inSync;',
    'const trusted = inSync;',
  ),
  mutant(
    'does not wait for a member that joins',
    'I2',
    target('assembly'),
    "(member) => history.isRequired(member.id) || member.state.kind === 'joining',",
    '(member) => history.inForce.inSync.includes(member.id),',
  ),
  mutant(
    'reads members that are not in sync',
    'I5',
    target('assembly'),
    'this.#readers = inSync;',
    'this.#readers = streaming;',
  ),
  mutant(
    'waits for the quickest member only',
    'I2',
    target('stream'),
    'if (member.ackedSeq < acked) acked = member.ackedSeq;',
    'if (acked === Infinity || member.ackedSeq > acked) acked = member.ackedSeq;',
  ),
  mutant(
    'flush is answered when the first member has flushed',
    'I1',
    target('flushes'),
    'if (operation.waitingFor.size > 0 || !this.#stream.completes) return;',
    'if (operation.waitingFor.size > 1 || !this.#stream.completes) return;',
  ),
  mutant(
    'waits for nobody when an activation has no voters left',
    'I11',
    target('activation'),
    "if (voters.length === 0) throw new MemberError(NO_MAJORITY, 'the voters');",
    '',
  ),
  // Coming back.
  mutant(
    'copies from the member that comes back',
    'I2',
    target('resync'),
    'const members = [first, member];',
    'const members = [member, first];',
  ),
  mutant(
    'stamps an extent before it is copied',
    'I4',
    target('equalise'),
    '  let copiedBytes = 0;\n  for (const run of runs) {',
    '  stream.stamp(offsetBytes, lengthBytes);\n  let copiedBytes = 0;\n  for (const run of runs.slice(0, -1)) {',
  ),
  mutant(
    'takes unknown versions for equal',
    'I4',
    target('resync'),
    'if (!known || !same) suspects.push(extent);',
    'if (!same) suspects.push(extent);',
  ),
  mutant(
    'compares checksums without the allocation',
    'I4',
    target('equalise'),
    'isAllocated(a, block) === isAllocated(b, block) &&',
    '',
  ),
  mutant(
    'copies an extent without its lock',
    'I4',
    target('resync'),
    "const lock = await lockRange(locks, { offsetBytes, lengthBytes, mode: 'exclusive' });",
    "const lock = await lockRange(locks, { offsetBytes, lengthBytes: 512, mode: 'shared' });",
  ),
  mutant(
    'lets reads pass the writes that they overlap',
    'I6',
    target('range-lock'),
    "(a.mode === 'exclusive' || b.mode === 'exclusive') &&",
    "a.mode === 'exclusive' && b.mode === 'exclusive' &&",
  ),
  // The replica's server.
  mutant(
    'does not end older sessions at a promise',
    'I3',
    server('server'),
    '      this.#fenceOthers(session);\n    }\n    this.#promise',
    '    }\n    this.#promise',
  ),
  mutant(
    'acknowledges what is not applied yet',
    'I2',
    server('stream'),
    'this.#owner?.acknowledge(applied);',
    'this.#owner?.acknowledge(this.#lastSeq);',
  ),
  mutant(
    'answers about metadata before the writes given before are applied',
    'I4',
    server('stream'),
    'if (this.#failure !== null || this.#appliedSeq === this.#lastSeq) callback();',
    'if (this.#lastSeq >= 0) callback();',
  ),
  mutant(
    'lives on when its superblock cannot be written',
    'I11',
    server('server'),
    '        // No later session could promise anything either, until the store is opened anew.\n        this.#giveUp(error);\n',
    '',
  ),
  // The store.
  mutant(
    'answers a promise before it is durable',
    'I3',
    store('durable-state'),
    'await this.#change({ promised: { epoch, session } });',
    'void this.#change({ promised: { epoch, session } });',
  ),
  mutant(
    'promises a lower epoch',
    'I3',
    store('durable-state'),
    'if (epoch > promised.epoch) return;',
    'if (epoch > 0) return;',
  ),
  mutant(
    'answers a record before it is durable',
    'I2',
    store('durable-state'),
    '      await this.#change({ record });',
    '      void this.#change({ record });',
  ),
  mutant(
    'does not know that its machine stopped',
    'I2',
    store('durable-state'),
    'intact: intact && (clean || sameBoot)',
    'intact',
  ),
  mutant(
    'answers a flush without one',
    'I1',
    store('data-store'),
    'else this.#parts.commits.flush(done);',
    'else done(null);',
  ),
  mutant(
    'a curable failure hides one that is not',
    'I11',
    store('data-store'),
    'if (this.#failure !== null && (isCurable(error) || !isCurable(this.#failure))) return;',
    'if (this.#failure !== null) return;',
  ),
  mutant(
    'lets a read pass the queued writes that it overlaps',
    'I6',
    store('data-store'),
    'if (this.#queue.overlaps(offsetBytes, lengthBytes))',
    'if (this.#queue.overlaps(offsetBytes, 0))',
  ),
  mutant(
    'writes to a region before its mark is durable',
    'I4',
    store('regions'),
    'if (region?.durable !== true) return false;',
    'if (region === undefined) return false;',
  ),
  mutant(
    'clears a mark although the region was written meanwhile',
    'I4',
    store('regions'),
    'if (!region.touched && region.untrusted === 0) {',
    'if (region.untrusted === 0) {',
  ),
  mutant(
    'clears marks without writing the pages',
    'I4',
    store('regions'),
    'if (!region.touched) this.#options.writePages(region.index);',
    'region.touched ||= false;',
  ),
  mutant(
    'trusts the pages of marked regions after a crash',
    'I4',
    store('regions'),
    'region.untrusted = (1 << EXTENTS_PER_REGION) - 1;',
    'region.untrusted = 0;',
  ),
  mutant(
    'gives an extent no new version with a write',
    'I4',
    store('writer'),
    '      this.#editor.advance(page, write.version);\n',
    '',
  ),
  mutant(
    'tells provisional versions as known',
    'I4',
    store('standing'),
    'page.setVersion(version, !this.#member);',
    'page.setVersion(version, false);',
  ),
  mutant(
    'returns a block that does not have its checksum',
    'I9',
    store('reader'),
    'if (crc32(bytes) !== checksum) return this.#rot(at);',
    '',
  ),
  mutant(
    'overwrites the newer slot',
    'I1',
    store('two-slot-file'),
    'const target = this.#newest === 0 ? 1 : 0;',
    'const target = this.#newest;',
  ),
  mutant(
    'believes the older slot',
    'I3',
    store('two-slot-file'),
    'first.generation >= second.generation',
    'first.generation <= second.generation',
  ),
];
