import type { Random } from '../support/random.ts';
import type { Fault } from './plan.ts';
import { AREAS, order } from './plan.ts';
import type { FaultOf } from './scenarios-of-people.ts';
import { ALWAYS_MS, Scene, type Script } from './scene.ts';

const VOLUMES = 3;

/** What is used by whom: mostly the first, while there is another one. */
const writes = (scene: Scene, count: number): void => {
  const { random } = scene;
  for (let left = count; left > 0; left--) {
    scene.volume = random.pick([0, 0, 1, 1, 2]);
    const whole = random.below(10);
    if (whole < 4) {
      scene.order(0, scene.block(whole < 1 ? 'unmap' : 'write', random.below(3)));
    } else scene.order(random.below(2), order(random, AREAS));
    scene.wait(0.5, 5);
  }
};

/** The process that makes a copy ends between two of its steps, or the one that it copies from. */
const disturbMaking = (scene: Scene): void => {
  const { random } = scene;
  scene.volume = random.below(VOLUMES);
  const replica = random.below(3);
  const ms = scene.span(2, 60);
  const laterMs = scene.span(0, 60);
  const changes = random.below(16);
  const faults: readonly Fault[] = [
    { kind: 'die-writing', replica, changes, power: random.chance(0.7), ms },
    { kind: 'die-writing', replica, changes, power: random.chance(0.7), ms },
    { kind: 'lose-power', replica, ms },
    { kind: 'kill', replica, ms },
    { kind: 'blackout', replicas: random.between(1, 31), ms },
  ];
  scene.fault(random.pick(faults), laterMs);
};

/**
 * People make snapshots and clones of them, and delete snapshots, clones and origins in any order,
 * so that what is shared is merged and given back, while everything else goes wrong.
 */
const cloned = (random: Random, faultOf: FaultOf): Script => {
  const scene = new Scene(random);
  for (let count = random.between(1, 3); count > 0; count--) {
    writes(scene, random.between(4, 12));
    scene.volume = 0;
    scene.task({ what: 'snapshot' });
    scene.wait(20, 120);
  }
  for (let rounds = random.between(4, 8); rounds > 0; rounds--) {
    const at = (): number => scene.span(0, 150);
    for (let count = random.between(1, 4); count > 0; count--) {
      scene.volume = random.pick([0, 0, 0, 1, 2]);
      const snapshot = random.pick([-1, -1, random.below(8)]);
      const chance = random.below(100);
      if (chance < 22) scene.task({ what: 'snapshot' }, at());
      else if (chance < 50) {
        const laterMs = at();
        scene.task({ what: 'clone', snapshot, copies: random.pick([0, 0, 1, 2, 3]) }, laterMs);
        // Perhaps before it is made.
        const soonMs = laterMs + scene.span(0, 80);
        if (random.chance(0.3)) scene.task({ what: 'delete', snapshot }, soonMs);
        if (random.chance(0.4)) disturbMaking(scene);
      } else if (chance < 76) scene.task({ what: 'delete', snapshot }, at());
      else if (chance < 82) scene.task({ what: 'revert', snapshot }, at());
      else scene.task({ what: 'delete-volume' }, at());
    }
    for (let count = random.pick([0, 0, 1, 1, 2]); count > 0; count--) {
      scene.volume = random.below(VOLUMES);
      const profile = random.pick(['crash', 'crash', 'network', 'targets'] as const);
      scene.fault(faultOf(random, profile), at());
    }
    writes(scene, random.between(4, 20));
    scene.wait(60, random.pick([150, 800, 2_500]));
  }
  const dataReplicas = random.pick([1, 2, 3, 3]);
  return scene.end({ dataReplicas, graceMs: random.pick([0, 200]) }, random.chance(0.3));
};

/**
 * A clone is made just when its layers are about to be merged, on disks so slow that what is marked
 * and what is seen come in any order; machines lose their power between two steps of it.
 */
const meeting = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 1, 2]);
  for (let replica = 0; replica < dataReplicas; replica++) {
    const slowMs = random.pick([2, 10, 40]);
    scene.fault({ kind: 'slow-disk', replica, slowMs, ms: ALWAYS_MS });
  }
  for (let rounds = random.between(2, 4); rounds > 0; rounds--) {
    scene.volume = random.below(2);
    for (let layers = random.between(2, 4); layers > 0; layers--) {
      for (let count = 4; count > 0; count--) {
        scene.order(0, scene.block(random.chance(0.85) ? 'write' : 'unmap', random.below(3)));
        scene.wait(1, 3);
      }
      scene.task({ what: 'snapshot' });
      scene.wait(150, 250);
    }
    const laterMs = scene.span(0, 120);
    scene.task({ what: 'delete', snapshot: random.pick([-2, -2, -3]) });
    scene.task({ what: 'clone', snapshot: -1, copies: 0 }, laterMs);
    if (random.chance(0.5)) scene.task({ what: 'snapshot' }, scene.span(0, 60));
    if (random.chance(0.3)) disturbMaking(scene);
    scene.wait(200, 600);
    if (random.chance(0.5)) scene.task({ what: 'delete', snapshot: -1 });
    writes(scene, 10);
    if (random.chance(0.4)) {
      scene.volume = random.below(2);
      scene.task({ what: 'delete-volume' }, scene.span(0, 100));
    }
    scene.wait(100, 500);
  }
  return scene.end({ dataReplicas, graceMs: 0 }, random.chance(0.3));
};

/** Runs in which volumes share what snapshots hold. */
export const CLONE_SCENARIOS = { cloned, meeting } as const;
