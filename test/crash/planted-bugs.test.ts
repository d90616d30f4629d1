/**
 * Goal: the crash test finds what it is there for. Method: one defect at a time is put into the
 * daemons, the rounds go on until something is wrong, and what is wrong is of the kind that the
 * defect makes.
 */
import { expect } from 'chai';
import { PowerCampaign } from '../power-loss/campaign.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { plant, type PlantedBug } from '../support/planted-bug.ts';
import { type Blow, blow } from './blow.ts';
import { CrashCampaign } from './campaign.ts';

const MOST_ROUNDS = 12;
/** Which change of snapshots comes in a round is left to chance and to the machine's speed. */
const MOST_ROUNDS_WITH_SNAPSHOTS = 80;

interface Case {
  readonly name: string;
  readonly bug: PlantedBug;
  readonly blow: Blow;
  readonly found: RegExp;
  /** Snapshots are made, deleted and gone back to meanwhile. */
  readonly snapshots?: boolean;
}

const CASES: readonly Case[] = [
  {
    name: 'a resynchronisation that copies the wrong way',
    bug: {
      module: 'target/src/replicator/resync.ts',
      text: 'sources: live });',
      instead: 'sources: () => [member] });',
    },
    blow: blow([1]),
    found: /stale|seen before and after/,
  },
  {
    name: 'a replica that comes back without what it missed',
    bug: {
      module: 'target/src/replicator/suspects.ts',
      text: 'if (!known || !same) suspects.push(extent);',
      instead: 'void known; void same;',
    },
    blow: blow([0]),
    found: /not identical|stale|seen before and after/,
  },
  {
    name: 'a deletion of a snapshot that is answered before anybody remembers it',
    bug: {
      module: 'target/src/replicator/layers.ts',
      text: `await this.#decide(removeSnapshot(tree, layer), this.#host.epoch);
      await this.#follow(this.#host.required, { change: 'delete', layer });`,
      instead: 'this.#tree = removeSnapshot(tree, layer);',
    },
    blow: blow([0], { again: 'the target' }),
    found: /snapshot \S+ was deleted and is there/,
    snapshots: true,
  },
  {
    name: 'a revert to another snapshot than was asked for',
    bug: {
      module: 'target/src/replicator/layers.ts',
      text: 'const to = findSnapshot(tree, name)?.id;',
      instead: 'const to = snapshotsOf(tree).find((each) => each.name !== name)?.id;',
    },
    blow: blow([1]),
    found: /of snapshot \S+ holds/,
    snapshots: true,
  },
];

describe('a bug that is planted', function () {
  this.timeout(90_000);
  let directory: ReturnType<typeof temporaryDirectory>;

  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(() => directory.remove());

  /** Returns what was found. */
  const roundsUntilFound = async (
    round: () => Promise<void>,
    most = MOST_ROUNDS,
  ): Promise<string> => {
    for (let number = 1; number <= most; number++) {
      try {
        await round();
      } catch (error) {
        return (error as Error).message;
      }
    }
    return `nothing in ${most} rounds`;
  };

  for (const { name, bug, blow: struck, found, snapshots = false } of CASES) {
    it(`is found: ${name}`, async function () {
      // A round with snapshots is longer by a scrub.
      if (snapshots) this.timeout(400_000);
      const most = snapshots ? MOST_ROUNDS_WITH_SNAPSHOTS : MOST_ROUNDS;
      const campaign = new CrashCampaign({
        directory: directory.path,
        seed: 5,
        nodeFlags: plant(bug),
        snapshots,
      });
      try {
        await campaign.start();
        expect(await roundsUntilFound(() => campaign.round(struck), most)).to.match(found);
      } finally {
        await campaign.stop();
      }
    });
  }

  it('is found: a flush that is answered without one', async () => {
    const nodeFlags = plant({
      module: 'replica/src/store/group-commit.ts',
      text: 'this.#file().sync(this.#finished);',
      instead: 'setImmediate(this.#finished, null);',
    });
    const campaign = new PowerCampaign({ directory: directory.path, seed: 5, nodeFlags });
    try {
      await campaign.start();
      const round = (): Promise<void> =>
        campaign.round({ powerless: [0, 1, 2], killed: [], target: true });
      expect(await roundsUntilFound(round)).to.match(/although a later one was flushed/);
    } finally {
      await campaign.stop();
    }
  });
});
