import { expect } from 'chai';
import { planMembers, type Plan, type PlanFacts } from './member-plan.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { VolumeMember, VolumeResource } from './volume-resource.ts';

const node = (name: string, change: Partial<ClusterNode> = {}): ClusterNode => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  ...change,
});

const nodes = (count: number): ClusterNode[] =>
  Array.from({ length: count }, (_, at) => node(`node${at + 1}`));

const member = (index: number, change: Partial<VolumeMember> = {}): VolumeMember => ({
  id: `id-${index}`,
  index,
  role: 'data',
  node: `node${index}`,
  ...change,
});

const record = (replicas: number, members: readonly VolumeMember[]): VolumeResource => ({
  apiVersion: 'openebs.io/v1alpha1',
  kind: 'OpenEBSVolume',
  metadata: { namespace: 'openebs', name: 'v' },
  spec: {
    size: '1Gi',
    replicas,
    pool: 'default',
    topologyKey: 'kubernetes.io/hostname',
    monitored: false,
    members,
  },
});

const pool = {
  apiVersion: 'openebs.io/v1alpha1',
  kind: 'StoragePool',
  metadata: { name: 'default' },
  spec: { path: '/var/openebs' },
};

interface Scene {
  readonly count?: number;
  /** Indices of members that are not in sync; null: the target does not answer. */
  readonly behind?: readonly number[] | null;
  readonly lost?: Readonly<Record<string, number>>;
}

const MINUTE = 60_000;

const plan = (volume: VolumeResource, scene: Scene = {}): Plan => {
  const { count = 6, behind = [], lost = {} } = scene;
  const facts: PlanFacts = {
    fleet: {
      nodes: nodes(count).filter(({ metadata }) => !Object.hasOwn(lost, metadata.name)),
      copies: new Map(volume.spec.members.map((member) => [member.node, 1])),
      pool,
    },
    modes:
      behind === null
        ? null
        : new Map(
            volume.spec.members.map(({ id, index }) => [
              id,
              behind.includes(index) ? 'offline' : 'in-sync',
            ]),
          ),
    lostMs: (name) => lost[name] ?? null,
    replaceAfterMs: 10 * MINUTE,
  };
  return planMembers(volume, facts);
};

/** `1 data node1`, and what becomes of it. */
const told = ({ members }: Plan): string[] =>
  members.map(({ index, role, node: where, state = '' }) =>
    `${index} ${role} ${where} ${state}`.trim(),
  );

const three = [member(1), member(2), member(3)];
const two = [member(1), member(2), member(3, { role: 'witness' })];

describe('the plan of who keeps a volume', () => {
  it('is the very same list where nothing is to be done', () => {
    expect(plan(record(3, three)).members).to.equal(three);
  });

  it('places all of a new volume, or nobody and says why', () => {
    expect(told(plan(record(2, [])))).to.deep.equal([
      '1 data node1',
      '2 data node2',
      '3 witness node3',
    ]);
    const none = plan(record(3, []), { count: 2 });
    expect(none.members).to.deep.equal([]);
    expect(none.problem).to.include('2 such nodes are ready in pool default');
  });

  it('adds copies on nodes that have none', () => {
    expect(told(plan(record(5, three)))).to.deep.equal([
      ...['1 data node1', '2 data node2', '3 data node3', '4 data node4', '5 data node5'],
    ]);
    const few = plan(record(5, three), { count: 4 });
    expect(few.members).to.equal(three);
    expect(few.problem).to.include('no node for another replica');
  });

  it('lets the witness go for a third copy, also where there are only three nodes', () => {
    expect(told(plan(record(3, two), { count: 3 }))).to.deep.equal([
      ...['1 data node1', '2 data node2', '3 witness node3 Leaving', '4 data node3'],
    ]);
    expect(told(plan(record(3, two))).at(-1)).to.equal('4 data node4');
  });

  it('puts a witness in the place of the third copy', () => {
    expect(told(plan(record(2, three), { count: 3 }))).to.deep.equal([
      ...['1 data node1', '2 data node2', '3 data node3 Leaving', '4 witness node3'],
    ]);
  });

  it('lets go who is behind, then the youngest', () => {
    expect(told(plan(record(2, three), { behind: [1] }))[0]).to.equal('1 data node1 Leaving');
    expect(told(plan(record(1, three))).slice(1)).to.deep.equal([
      ...['2 data node2 Leaving', '3 data node3 Leaving'],
    ]);
  });

  it('decides who goes only when the target has said who is behind', () => {
    const waiting = plan(record(2, three), { behind: null });
    expect(waiting.members).to.equal(three);
    expect(waiting.problem).to.include('when the target answers');
  });

  it('keeps one that was about to leave when its number is wanted again', () => {
    const leaving = [
      member(1),
      member(2),
      member(3, { state: 'Leaving' }),
      member(4, { role: 'witness' }),
    ];
    expect(told(plan(record(3, leaving)))).to.deep.equal([
      ...['1 data node1', '2 data node2', '3 data node3', '4 witness node4 Leaving'],
    ]);
  });

  describe('when a node is lost', () => {
    it('waits for the time of the policy, then makes the copy anew elsewhere', () => {
      const early = plan(record(3, three), { lost: { node2: 9 * MINUTE } });
      expect(early.members).to.equal(three);
      expect(early.problem).to.include('after 10 min');
      const late = plan(record(3, three), { behind: [2], lost: { node2: 10 * MINUTE } });
      expect(told(late)).to.deep.equal([
        ...['1 data node1', '2 data node2 Leaving', '3 data node3', '4 data node4'],
      ]);
      expect(late.events[0]?.message).to.include('Node node2 has been lost for 10 min');
    });

    it('replaces nobody while fewer of the others are in sync than a majority', () => {
      const scene = { behind: [2, 3], lost: { node2: 60 * MINUTE } };
      const refused = plan(record(3, three), scene);
      expect(refused.members).to.equal(three);
      expect(refused.problem).to.include('1 of the others are in sync and 2 have to be');
      expect(plan(record(3, three), { ...scene, behind: null }).members).to.equal(three);
      const only = [member(1)];
      expect(plan(record(1, only), { behind: [1], lost: { node1: 60 * MINUTE } }).members).to.equal(
        only,
      );
    });

    it('never counts a witness as somebody who holds the data', () => {
      const scene = { behind: [1, 2], lost: { node1: 60 * MINUTE } };
      expect(plan(record(2, two), scene).members).to.equal(two);
    });

    it('leaves a copy that its target still reaches', () => {
      const cut = plan(record(3, three), { lost: { node2: 60 * MINUTE } });
      expect(cut.members).to.equal(three);
      expect(cut.problem).to.equal(null);
    });

    it('replaces one at a time', () => {
      const members = [...three.slice(0, 2), member(3, { state: 'Leaving' }), member(4)];
      const scene = { behind: [2, 3], lost: { node2: 60 * MINUTE, node3: 60 * MINUTE } };
      expect(plan(record(3, members), scene).members).to.equal(members);
    });

    it('says when no other node fits', () => {
      const nowhere = plan(record(3, three), {
        ...{ count: 3, behind: [2], lost: { node2: 60 * MINUTE } },
      });
      expect(nowhere.members).to.equal(three);
      expect(nowhere.problem).to.include('no node for another replica');
    });

    it('replaces a witness too', () => {
      const late = plan(record(2, two), { behind: [3], lost: { node3: 60 * MINUTE } });
      expect(told(late).slice(2)).to.deep.equal(['3 witness node3 Leaving', '4 witness node4']);
    });
  });
});
