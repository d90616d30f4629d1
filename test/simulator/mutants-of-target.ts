import type { Mutant } from './mutant.ts';
import { edit, inReplicator as target, inServer as server, mutant } from './mutant.ts';

/** Read leases: both sides of them. */
export const LEASE_MUTANTS: readonly Mutant[] = [
  mutant(
    'does not check its lease before it answers',
    'I6',
    'split',
    edit(target('lease'), 'return confirmedMs >= startedMs ||', 'return confirmedMs < Infinity ||'),
  ),
  mutant(
    'counts its lease from the answer and not from the question',
    'I6',
    'split',
    edit(
      target('member'),
      'this.pulse.heardMs = sentMs;',
      'this.pulse.heardMs = this.#environment.now() + 0 * sentMs;',
    ),
  ),
  mutant(
    'takes the liveliest voter for a majority',
    'I6',
    'split',
    edit(
      target('lease'),
      'return moments[majorityOf(voters) - 1] ?? -Infinity;',
      'return moments[0 * majorityOf(voters)] ?? -Infinity;',
    ),
  ),
  mutant(
    'serves although the target before may still answer',
    'I6',
    'split',
    edit(
      target('activation'),
      '  if (!host.hasServed && plan.record !== null) await waitOutLeases(host, record.voters);\n',
      '',
    ),
  ),
  mutant(
    'waits for the first lease that ends',
    'I6',
    'split',
    edit(
      target('lease'),
      'const last = ends[voters.length - majorityOf(voters)] ?? Infinity;',
      'const last = ends[0] ?? Infinity;',
    ),
  ),
  mutant(
    'tells nobody that the lease before goes on',
    'I6',
    'split',
    edit(
      server('lease'),
      'return remaining(this.#earlierUntilMs, nowMs);',
      'return remaining(-Infinity, nowMs);',
    ),
  ),
  mutant(
    'forgets with its process whom it has answered',
    'I6',
    'split',
    edit(
      server('lease'),
      'promised ? startedMs + READ_LEASE_MS : -Infinity;',
      'promised ? startedMs : -Infinity;',
    ),
  ),
  mutant(
    'takes the end of a connection for the end of its target',
    'I6',
    'split',
    edit(
      server('session'),
      "if (this.peer !== UNIX_PEER || (code !== 'ECONNRESET' && code !== 'EPIPE')) return;",
      "if (code === '') return;",
    ),
  ),
];

export const MEMBERSHIP_MUTANTS: readonly Mutant[] = [
  mutant(
    'acknowledges before the record that removes a member is in force',
    'I2',
    'overtaken',
    edit(
      target('assembly'),
      'setRequired(quorum && complete ? required : null)',
      'setRequired(quorum ? required : null)',
    ),
  ),
  mutant(
    'acknowledges without a majority',
    'I8',
    'network',
    edit(
      target('assembly'),
      'const quorum = this.electorate.hasMajority;',
      'const quorum = this.electorate.hasMajority || true;',
    ),
  ),
  mutant(
    'goes on as long as anybody is there',
    'I8',
    'network',
    edit(
      target('electorate'),
      'return decides(records.history.inForce.voters, this.#votingIds(), records.forgetful);',
      'return decides([...this.#votingIds()], this.#votingIds(), records.forgetful);',
    ),
  ),
  mutant(
    'takes a record for durable at the first voter',
    'I2',
    'overtaken',
    edit(target('records'), 'if (!decides(voters, durable, this.forgetful)) return;', ''),
  ),
  mutant(
    'serves before the record of the activation is durable',
    'I2',
    'overtaken',
    edit(
      target('activation'),
      '  await putRecord(host, record, members);',
      '  void putRecord(host, record, members).catch(() => undefined);',
    ),
  ),
  mutant(
    'serves on a majority of one',
    'I2',
    'targets',
    edit(target('membership'), 'Math.floor(voters.length / 2) + 1', 'Math.min(1, voters.length)'),
  ),
  mutant(
    'chooses an epoch that was promised already',
    'I11',
    'targets',
    edit(target('membership'), 'epoch: epoch(highest + 1)', 'epoch: epoch(Math.max(highest, 1))'),
  ),
  mutant(
    'comes back after it was replaced, with its held writes',
    'I6',
    'revenant',
    edit(
      target('activation'),
      'hasServed && record !== null && !recordEpochs.has(record.epoch)',
      'false',
    ),
    edit(target('activation'), "if (hasSuccessor(host)) return { kind: 'fenced' };", ''),
  ),
  mutant(
    'believes the oldest record',
    'I2',
    'crash',
    edit(
      target('membership'),
      '(newest === null || isNewer(state.record, newest))',
      '(newest === null || isNewer(newest, state.record))',
    ),
  ),
  mutant(
    'believes a record of its own that never came into force',
    'I2',
    'doubted',
    edit(target('activation'), 'lastInForce: isOwn ? host.lastInForce : null,', ''),
  ),
  mutant(
    'takes one that was emptied for whole because it has a record again',
    'I2',
    'doubted',
    edit(
      target('membership'),
      'claimOf(lastInForce, present, remembersBeingNamed)',
      'claimOf(lastInForce, present, remembers)',
    ),
  ),
  mutant(
    'takes a copy that lost power as the source beside an intact one',
    'I2',
    'uneven',
    edit(
      target('membership'),
      'const trusted = intact.length > 0 ? intact : inSync;',
      'const trusted = inSync;',
    ),
  ),
  mutant(
    'does not wait for a member that joins',
    'I2',
    'overtaken',
    edit(
      target('assembly'),
      "(member) => history.isRequired(member.id) || member.state.kind === 'joining',",
      '(member) => history.inForce.inSync.includes(member.id),',
    ),
  ),
  mutant(
    'reads members that are not in sync',
    'I5',
    'crash',
    edit(target('assembly'), 'this.#readers = inSync;', 'this.#readers = streaming;'),
  ),
  mutant(
    'waits for the quickest member only',
    'I2',
    'seesaw',
    edit(
      target('stream'),
      'if (member.ackedSeq < acked) acked = member.ackedSeq;',
      'if (acked === Infinity || member.ackedSeq > acked) acked = member.ackedSeq;',
    ),
  ),
  mutant(
    'flush is answered when the first member has flushed',
    'I1',
    'flushed',
    edit(
      target('flushes'),
      'if (operation.waitingFor.size > 0 || !this.#stream.completes) return;',
      'if (operation.waitingFor.size > 1 || !this.#stream.completes) return;',
    ),
  ),
  mutant(
    'waits for ever for the record of an activation when its voter was lost',
    'I11',
    'alone',
    edit(
      target('activation'),
      '          if (left === 0 || members.includes(voter)) reject(error);\n',
      '',
    ),
  ),
];

/** Resynchronisation and the order of operations. */
export const STREAM_MUTANTS: readonly Mutant[] = [
  mutant(
    'copies from the member that comes back',
    'I2',
    'crash',
    edit(target('resync'), 'const members = [first, member];', 'const members = [member, first];'),
  ),
  mutant(
    'takes every extent of a member that comes back for empty',
    'I4',
    'crash',
    edit(target('resync'), 'const empty = memberIsEmpty ? member : null;', 'const empty = member;'),
  ),
  mutant(
    'lets go of an extent before what was read of it is sent',
    'I4',
    'racing',
    edit(
      target('resync'),
      'await send().finally(() => locks.release(lock));',
      'await (locks.release(lock), send());',
    ),
  ),
  mutant(
    'stamps an extent before it is copied',
    'I4',
    'crash',
    edit(
      target('equalise'),
      'const copies = await Promise.allSettled(runs.map(',
      'stream.stamp(members, offsetBytes, lengthBytes);\n  const copies = await Promise.allSettled(runs.slice(0, -1).map(',
    ),
  ),
  mutant(
    'stamps also who is still being resynchronised',
    'I4',
    'mended',
    edit(target('stream'), 'if (!member.inSync && !equal.includes(member)) continue;', ''),
  ),
  mutant(
    'takes unknown versions for equal',
    'I4',
    'power',
    edit(
      target('suspects'),
      'if (!known || !same) suspects.push(extent);',
      'if (!same) suspects.push(extent);',
    ),
  ),
  mutant(
    'leaves what the source does not have',
    'I4',
    'crash',
    edit(
      target('equalise'),
      'if (others.every((other) => sameBlock(source, other, block))) continue;',
      'if (!isAllocated(source, block) || others.every((other) => sameBlock(source, other, block))) continue;',
    ),
  ),
  mutant(
    'copies an extent without its lock',
    'I4',
    'racing',
    edit(
      target('resync'),
      "const lock = await lockRange(locks, { offsetBytes, lengthBytes, mode: 'exclusive' });",
      "const lock = await lockRange(locks, { offsetBytes, lengthBytes: 512, mode: 'shared' });",
    ),
  ),
  mutant(
    'lets reads pass the writes that they overlap',
    'I6',
    'mixed',
    edit(
      target('range-lock'),
      "(a.mode === 'exclusive' || b.mode === 'exclusive') &&",
      "a.mode === 'exclusive' && b.mode === 'exclusive' &&",
    ),
  ),
];

/** Snapshots, growth and members that come and go. */
export const MANAGEMENT_MUTANTS: readonly Mutant[] = [
  mutant(
    'makes a snapshot while writes are under way',
    'I7',
    'layers',
    edit(
      target('layers'),
      '    const lock = await this.#holdIo();\n    try {\n      if',
      "    const lock = await this.#holdIo();\n    locks.release(lock);\n    locks.acquire(Object.assign(lock, { lockState: 'none', offsetBytes: MAX_VOLUME_BYTES, lengthBytes: 1 }));\n    try {\n      if",
    ),
  ),
  mutant(
    'takes a snapshot for made when one member has it',
    'I7',
    'layers',
    edit(
      target('layers'),
      "results?.findIndex(({ status }) => status === 'rejected') ?? -1;",
      "results?.every(({ status }) => status === 'rejected') === true ? 0 : -1;",
    ),
    edit(target('layers'), 'failed >= 0 || !this.#isSame(members, epoch)', 'failed >= 0'),
  ),
  mutant(
    'lets one that was away keep the layers that it has',
    'I7',
    'layers',
    edit(
      target('returns'),
      '      await bringLayers({ tree, member, sources, sizeBytes, filled, mend, turn, finished });\n',
      '      Object({ bringLayers, tree, member, sources, sizeBytes, filled, turn, finished });\n',
    ),
  ),
  mutant(
    'does not make certain at an activation what was decided about the layers',
    'I7',
    'layers',
    edit(target('layer-activation'), '  await makeCertain(activation, tree);\n', ''),
    edit(
      target('layer-activation'),
      'await Promise.all(members.map((member) => follow(member, tree)));',
      '',
    ),
  ),
  mutant(
    'copies no frozen layer to one that was away',
    'I7',
    'layers',
    edit(target('layer-copy'), "if (action === 'write') {", "if (action !== 'write') {"),
  ),
  mutant(
    'makes a stranger a voter before it holds everything',
    'I2',
    'members',
    edit(
      target('electorate'),
      "(member.identity?.role === 'witness' || serving.includes(member)) &&",
      '',
    ),
    edit(
      target('record-history'),
      'presence.serving.filter((id) => voters.includes(id))',
      '[...presence.serving, ...presence.joining].filter((id) => voters.includes(id))',
    ),
  ),
  mutant(
    'tells initiators of room before all members have it',
    'I11',
    'members',
    edit(
      target('growth'),
      '      if (small.length === 0) break;\n',
      '      if (small.length >= 0) break;\n',
    ),
  ),
];
