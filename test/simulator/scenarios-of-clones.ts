import type { Random } from '../support/random.ts';
import type { CloneTask } from './cloning.ts';
import type { Action, Fault } from './plan.ts';
import { AREAS, order } from './plan.ts';
import type { RotPlace } from './rot.ts';
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

const cloneOf = (random: Random, snapshot: number): CloneTask => {
  const task = { what: 'clone', snapshot, copies: random.pick([0, 0, 1, 2, 3]) } as const;
  return random.chance(0.3) ? { ...task, changes: random.below(12) } : task;
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
        scene.task(cloneOf(random, snapshot), laterMs);
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
  const dataReplicas = random.pick([1, 1, 1, 2]);
  const slowMs = random.pick([10, 40, 120]);
  for (let replica = 0; replica < dataReplicas; replica++)
    scene.fault({ kind: 'slow-disk', replica, slowMs, ms: ALWAYS_MS });
  for (let rounds = random.between(3, 7); rounds > 0; rounds--) {
    scene.volume = 0;
    for (let layers = 2; layers > 0; layers--) {
      // Each layer lacks something that the one below it has.
      const area = random.below(3);
      for (let count = 3; count > 0; count--) {
        scene.order(0, scene.block(random.chance(0.85) ? 'write' : 'unmap', area));
        scene.wait(1, 3);
      }
      scene.task({ what: 'snapshot' });
      scene.wait(3 * slowMs + 50);
    }
    scene.task({ what: 'delete', snapshot: -2 });
    scene.task({ ...cloneOf(random, -1), copies: 0 }, scene.span(0, 2 * slowMs + 60));
    if (random.chance(0.25)) disturbMaking(scene);
    scene.wait(100 + 2 * slowMs, 300 + 2 * slowMs);
    // Who has opened the layers before a merge wrote to them sees nothing of it.
    scene.volume = 1;
    scene.readAll();
    scene.fault({ kind: 'kill', replica: 0, ms: 5 });
    scene.wait(200, 400);
    scene.readAll();
    scene.wait(20);
    writes(scene, 5);
    if (random.chance(0.4)) {
      scene.volume = 0;
      scene.task({ what: 'delete', snapshot: -1 });
    }
    scene.volume = random.pick([0, 1, 1, 1, 1]);
    scene.task({ what: 'delete-volume' }, scene.span(0, 100));
    scene.wait(150, 300);
  }
  return scene.end({ dataReplicas, graceMs: 0 }, random.chance(0.3));
};

/**
 * A copy ends while a snapshot is made, which the others may undo, go on without, and make again;
 * clones are made of what it has while it is away.
 */
const stranded = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 3, 3]);
  for (let rounds = random.between(1, 3); rounds > 0; rounds--) {
    scene.volume = 0;
    for (let count = 6; count > 0; count--) scene.order(0, scene.block('write', random.below(3)));
    scene.wait(20, 60);
    const replica = random.below(dataReplicas);
    const changes = random.below(24);
    scene.fault({ kind: 'die-writing', replica, changes, power: false, ms: 2_500 });
    scene.task({ what: 'snapshot' });
    scene.wait(300, 900);
    for (let count = 6; count > 0; count--) scene.order(0, scene.block('write', random.below(3)));
    scene.wait(20, 60);
    scene.task({ what: 'snapshot' });
    scene.wait(50, 200);
    scene.task({ what: 'clone', snapshot: -1, copies: random.pick([0, 1, 2, 3]) });
    scene.wait(100, 300);
    if (random.chance(0.5)) scene.task({ what: 'delete', snapshot: -1 });
    scene.wait(2_000, 3_000);
    writes(scene, 8);
    scene.readAll();
    scene.wait(50);
  }
  return scene.end({ dataReplicas, graceMs: 0 });
};

/** What volumes share rots on one of the machines, and any of them may scrub and mend it. */
const inherited = (random: Random, faultOf: FaultOf): Script => {
  const rotOrFault: FaultOf = (chance, profile) => {
    const sector = chance.pick(AREAS) + chance.below(48);
    const place = { replica: chance.below(8), sector, layer: chance.below(8) };
    return chance.chance(0.6) ? { kind: 'rot-layer', ...place } : faultOf(chance, profile);
  };
  const script = cloned(random, rotOrFault);
  const actions = script.actions.map((action): Action => {
    if (action.kind !== 'task' || action.task.what !== 'revert') return action;
    return { ...action, task: { what: 'scrub' } };
  });
  const lateRot = Array.from({ length: random.below(4) }, (): RotPlace => {
    const sector = random.pick(AREAS) + random.below(48);
    return { kind: 'rot-layer', replica: random.below(8), sector, layer: random.below(8) };
  });
  const scrubBytesPerSecond = random.pick([4, 32, 1024]) * 1024 * 1024;
  const dataReplicas = random.pick([2, 3, 3]);
  const witness = dataReplicas === 2;
  const cluster = { ...script.cluster, dataReplicas, witness, scrubBytesPerSecond };
  return { ...script, actions, lateRot, cluster };
};

/** Runs in which volumes share what snapshots hold. */
export const CLONE_SCENARIOS = { cloned, meeting, stranded, inherited } as const;
