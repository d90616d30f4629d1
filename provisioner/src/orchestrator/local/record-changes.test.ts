import { expect } from 'chai';
import { Problem } from '../../problem.ts';
import { ordersFor } from './orders.ts';
import { newRecord, type MemberRecord, type VolumeRecord } from './record.ts';
import {
  findReplica,
  requireCopies,
  withoutMember,
  withoutReplica,
  withReplica,
  withSize,
} from './record-changes.ts';
import type { TargetStatus } from './target-status.ts';

const MIB = 1024 ** 2;

const recordOf = (replicas: number): VolumeRecord =>
  newRecord(
    { name: 'db', sizeBytes: 64 * MIB, replicas },
    { portalPort: 3260, idempotencyKey: null, createdAt: new Date(0) },
  );

const shape = ({ members }: VolumeRecord): string =>
  members
    .map(({ role, index, leaving }) => `${role[0]!}${index}${leaving === true ? '-' : ''}`)
    .join(' ');

const addressOf = ({ index }: MemberRecord): string => `unix:/${index}`;

const statusOf = (record: VolumeRecord, change: Partial<TargetStatus> = {}): TargetStatus => ({
  state: 'healthy',
  access: null,
  since: null,
  reason: null,
  next: null,
  replicas: record.members.map((member) => ({
    id: member.id,
    address: addressOf(member),
    mode: 'in-sync',
    since: null,
    lastError: null,
    resync: null,
  })),
  voters: record.members.map(({ id }) => id),
  sizeBytes: record.sizeBytes,
  sessions: [],
  integrity: null,
  settings: null,
  ...change,
});

describe('changes of what a volume shall be', () => {
  it('let a witness come with an even number of replicas and go with an odd one', () => {
    let record = recordOf(3);
    record = withoutReplica(record, record.members[1]!.id);
    expect(shape(record)).to.equal('d1 d2- d3 w4');
    record = withReplica(record);
    expect(shape(record)).to.equal('d1 d2- d3 w4- d5');
    record = withoutReplica(record, findReplica(record, 'replica-5').id);
    expect(shape(record)).to.equal('d1 d2- d3 w4 d5-');
  });

  it('keep a member that leaves in the record until it has left', () => {
    const record = recordOf(3);
    const id = findReplica(record, '2').id;
    const leaving = withoutReplica(record, id);
    expect(leaving.generation).to.equal(2);
    expect(withoutReplica(leaving, id)).to.equal(leaving);
    expect(shape(withoutMember(leaving, id))).to.equal('d1 d3 w4');
  });

  it('refuse to remove the last replica or a witness, to add a sixth one, and to shrink', () => {
    const one = recordOf(1);
    const five = recordOf(5);
    const two = recordOf(2);
    for (const refused of [
      () => withoutReplica(one, one.members[0]!.id),
      () => withoutReplica(two, findReplica(two, 'witness').id),
      () => withReplica(five),
      () => withSize(one, MIB),
      () => findReplica(one, 'replica-7'),
    ]) {
      expect(refused).to.throw(Problem);
    }
    expect(withSize(one, one.sizeBytes)).to.equal(one);
  });

  it('refuse to let the only one go that holds everything', () => {
    const replicas = recordOf(2).members.map((member) => ({
      ...member,
      leaving: false,
      mode: member.index === 1 ? ('in-sync' as const) : ('syncing' as const),
    }));
    const view = { name: 'db', replicas } as unknown as Parameters<typeof requireCopies>[0];
    expect(() => requireCopies(view, '1')).to.throw(Problem, 'no other replica');
    expect(() => requireCopies(view, '2')).not.to.throw();
  });
});

describe('what is told to a target', () => {
  it('is nothing when it has the list, the voters and the size already', () => {
    const record = recordOf(3);
    const orders = ordersFor(record, statusOf(record), addressOf);
    expect(orders).to.deep.equal({ replicas: null, sizeBytes: null, gone: [] });
  });

  it('is the list again for as long as voters differ, so that no step can be forgotten', () => {
    const record = withReplica(recordOf(1));
    const told = statusOf(record, { voters: [record.members[0]!.id] });
    expect(ordersFor(record, told, addressOf).replicas).to.deep.equal([
      'unix:/1',
      'unix:/2',
      'unix:/3',
    ]);
  });

  it('names nobody who leaves, and removes him only when he votes no more', () => {
    const whole = recordOf(3);
    const record = withoutReplica(whole, whole.members[0]!.id);
    const before = ordersFor(record, statusOf(record), addressOf);
    expect(before.replicas).to.deep.equal(['unix:/2', 'unix:/3', 'unix:/4']);
    expect(before.gone).to.deep.equal([]);
    const rest = { ...record, members: record.members.slice(1) };
    expect(ordersFor(record, statusOf(rest), addressOf).gone).to.deep.equal([record.members[0]]);
    const starting = statusOf(rest, { voters: null });
    expect(ordersFor(record, starting, addressOf).gone).to.deep.equal([]);
  });

  it('is the size while it serves with a smaller one', () => {
    const record = recordOf(1);
    const grown = withSize(record, 128 * MIB);
    expect(ordersFor(grown, statusOf(record), addressOf).sizeBytes).to.equal(128 * MIB);
    expect(ordersFor(grown, statusOf(grown), addressOf).sizeBytes).to.equal(null);
  });
});
