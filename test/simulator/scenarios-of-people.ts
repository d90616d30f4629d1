import type { Random } from '../support/random.ts';
import type { Task } from './management.ts';
import type { Fault } from './plan.ts';
import { AREAS, GROWN_AREA, order } from './plan.ts';
import { Scene, type Script } from './scene.ts';

export type FaultOf = (random: Random, profile: 'crash' | 'network' | 'targets') => Fault;

/** People at work on a volume that is used, while everything else goes wrong. */
export const managed = (
  random: Random,
  faultOf: FaultOf,
  taskOf: (random: Random) => Task,
  dataReplicas: number,
  unmapChance = 0,
): Script => {
  const scene = new Scene(random);
  const areas = [...AREAS, GROWN_AREA];
  for (let rounds = random.between(4, 9); rounds > 0; rounds--) {
    const busyMs = scene.span(20, 150);
    const at = (): number => scene.span(0, busyMs * 1.5);
    for (let count = random.between(1, 3); count > 0; count--) {
      const laterMs = at();
      scene.task(taskOf(random), laterMs);
    }
    for (let count = random.pick([0, 0, 1, 1, 2]); count > 0; count--) {
      const profile = random.pick(['crash', 'crash', 'network', 'targets'] as const);
      scene.fault(faultOf(random, profile), at());
    }
    for (let count = random.between(4, 20); count > 0; count--) {
      const initiator = random.below(2);
      const hole = unmapChance > 0 && random.chance(unmapChance);
      scene.order(initiator, hole ? scene.block('unmap', 0) : order(random, areas));
      scene.wait((busyMs / 20) * 0.5, (busyMs / 20) * 1.5);
    }
    scene.wait(20, random.pick([100, 800, 2_500]));
  }
  return scene.end({ dataReplicas, graceMs: random.pick([0, 200]) }, random.chance(0.25));
};

const layers = (random: Random, faultOf: FaultOf): Script =>
  managed(
    random,
    faultOf,
    (chance) => {
      const what = chance.pick(['snapshot', 'snapshot', 'snapshot', 'delete', 'revert'] as const);
      return what === 'snapshot' ? { what } : { what, snapshot: chance.below(8) };
    },
    random.pick([1, 2, 3, 3]),
    0.2,
  );

const members = (random: Random, faultOf: FaultOf): Script =>
  managed(
    random,
    faultOf,
    (chance) => {
      const what = chance.pick(['add', 'add', 'grow', 'remove', 'replace', 'empty', 'snapshot']);
      switch (what) {
        case 'remove':
        case 'replace':
        case 'empty':
          return { what, replica: chance.below(8) };
        case 'add':
        case 'grow':
          return { what };
        default:
          return { what: 'snapshot' };
      }
    },
    random.pick([1, 2, 2, 3]),
  );

/** Runs in which people change what the volume consists of. */
export const PEOPLE_SCENARIOS = { layers, members } as const;
