import type { Random } from '../support/random.ts';
import { ATOMIC_WRITE, type Fault } from './plan.ts';
import { ALWAYS_MS, FLUSH, Scene, type Script } from './scene.ts';
import { CLONE_SCENARIOS } from './scenarios-of-clones.ts';
import { PEOPLE_SCENARIOS } from './scenarios-of-people.ts';
import { SCRUB_SCENARIOS } from './scenarios-of-scrub.ts';
import { STORE_SCENARIOS } from './scenarios-of-store.ts';

/**
 * An old target keeps one replica that a new target lacks, and each has initiators: whatever the
 * old one reads there may be overwritten elsewhere.
 */
const split = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 3, 3, 3, 5]);
  const voters = dataReplicas + (dataReplicas % 2 === 0 ? 1 : 0);
  const kept = random.below(dataReplicas);
  const others = Array.from({ length: voters }, (_, index) => index).filter((i) => i !== kept);
  scene.writes(40, 5);
  scene.wait(10, 100);
  // What the old target hears late, it asked for long before.
  const lateMs = random.pick([0, 0, 5, 200]);
  if (lateMs > 0) {
    const leadMs = scene.span(300, 1_600);
    for (const replica of others) {
      scene.fault({ kind: 'partition', replica, direction: 'from-replica', ms: leadMs + lateMs });
    }
    scene.wait(leadMs);
  } else if (random.chance(0.3)) {
    // One of them has not been heard for longer than the others.
    const replica = random.pick(others);
    scene.fault({ kind: 'partition', replica, direction: 'both', ms: ALWAYS_MS });
    scene.wait(500, 2_500);
  }
  const blow = random.pick(['none', 'none', 'restart', 'cut'] as const);
  scene.fault({ kind: 'split', replica: kept, lateMs, blow, ms: scene.span(4_000, 6_000) });
  const pauseMs = scene.span(500, 3_000);
  if (random.chance(0.2)) scene.fault({ kind: 'pause', replica: kept, ms: pauseMs }, 300);
  if (random.chance(0.2)) scene.fault({ kind: 'pause-first-target', ms: pauseMs }, 400);
  for (const endMs = scene.atMs + 4_500; scene.atMs < endMs;) {
    scene.order(0, random.chance(0.95) ? scene.hot('write') : FLUSH, 'newest');
    scene.wait(2, 12);
    scene.order(1, scene.hot('read'), 'older');
    scene.wait(2, 12);
  }
  return scene.end({ dataReplicas, graceMs: random.pick([0, 0, 200]) });
};

/**
 * The copies are lost in turn, each before the loss of the one before is settled: one voter's disk
 * is slow, so that records take their time, and who is lost last stays away longest.
 */
const seesaw = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 2, 2, 3]);
  const slow = random.chance(0.7) ? 2 : random.below(3);
  const slowMs = random.pick([30, 100, 400]);
  scene.fault({ kind: 'slow-disk', replica: slow, slowMs, ms: ALWAYS_MS });
  scene.writes(60, 6);
  for (let rounds = random.between(3, 6); rounds > 0; rounds--) {
    const first = random.below(2);
    const backMs = scene.span(5, 300);
    if (random.chance(0.6)) scene.fault({ kind: 'kill', replica: first, ms: backMs });
    else scene.fault({ kind: 'cut', replica: first, noticed: random.below(4) });
    if (random.chance(0.4)) {
      const laterMs = backMs + scene.span(5, 120);
      scene.fault({ kind: 'pause', replica: first, ms: scene.span(20, 600) }, laterMs);
    }
    if (random.chance(0.25)) scene.fault({ kind: 'kill-target', power: false }, scene.span(1, 9));
    scene.writes(scene.span(10, 500), 6);
    if (random.chance(0.3)) scene.order(0, FLUSH);
    scene.wait(0, 15);
    const power = random.chance(0.3);
    const second = { replica: 1 - first, ms: scene.span(1_500, 5_000) };
    scene.fault({ kind: power ? 'lose-power' : 'kill', ...second });
    if (random.chance(0.7)) scene.fault({ kind: 'kill-target', power: false }, scene.span(0, 3));
    scene.wait(200, 2_500);
    scene.writes(60, 15);
    scene.wait(50, 4_000);
  }
  return scene.end({ dataReplicas, graceMs: random.pick([0, 0, 300]) });
};

/**
 * A record that names only one copy is on its way when that one is lost as well: with its memory,
 * or emptied, or only for a while, when the other one is there again and empty. The target lives.
 */
const doubted = (random: Random): Script => {
  const scene = new Scene(random);
  scene.writes(60, 5);
  for (let rounds = random.between(2, 5); rounds > 0; rounds--) {
    const replica = random.below(2);
    const other = 1 - replica;
    const how = random.pick(['power', 'power', 'emptied', 'told'] as const);
    const slowMs = random.pick([30, 100, 400]);
    scene.fault({ kind: 'slow-disk', replica: other, slowMs, ms: 1_000 });
    if (how === 'told') scene.fault({ kind: 'slow-disk', replica: 2, slowMs: 2_000, ms: 1_500 });
    if (random.chance(0.5)) scene.order(0, FLUSH);
    scene.writes(scene.span(5, 60), 4);
    const cut: Fault = { kind: 'cut', replica, noticed: random.pick([1, 3, 3]) };
    const ms = scene.span(20, 3_000);
    if (how === 'power') {
      scene.fault(random.chance(0.7) ? cut : { kind: 'kill', replica, ms });
      scene.fault({ kind: 'lose-power', replica: other, ms }, scene.span(0, 12));
    } else if (how === 'emptied') {
      scene.task({ what: 'empty', replica: other }, 0.5);
      scene.fault(cut, scene.span(0, 2));
    } else {
      scene.task({ what: 'empty', replica });
      scene.fault({ kind: 'kill', replica: other, ms }, scene.span(5, 150));
    }
    scene.writes(scene.span(50, 300), 5);
    scene.wait(500, 6_000);
    scene.writes(40, 5);
  }
  return scene.end({ dataReplicas: 2, graceMs: random.pick([0, 0, 300]) });
};

/** A flush is answered, and the power goes everywhere; one disk is slower than the others. */
const flushed = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 2, 2, 3, 3]);
  if (random.chance(0.8)) {
    const replica = random.below(dataReplicas);
    scene.fault({
      kind: 'slow-disk',
      replica,
      slowMs: random.pick([10, 60, 300]),
      ms: ALWAYS_MS,
    });
  }
  for (let rounds = random.between(3, 7); rounds > 0; rounds--) {
    scene.writes(scene.span(5, 80), 4);
    scene.wait(0, 30);
    scene.order(0, FLUSH);
    if (random.chance(0.5)) scene.writes(scene.span(1, 20), 4);
    scene.wait(1, random.pick([6, 30, 200]));
    scene.fault({ kind: 'blackout', replicas: 31, ms: scene.span(2, 40) });
    scene.wait(300, 2_500);
  }
  return scene.end({ dataReplicas, graceMs: random.pick([200, 2_000]) }, true);
};

/** One copy: whatever it has acknowledged, nobody else has. */
const alone = (random: Random): Script => {
  const scene = new Scene(random);
  const slowMs = random.pick([0, 3, 30, 300]);
  if (slowMs > 0) scene.fault({ kind: 'slow-disk', replica: 0, slowMs, ms: ALWAYS_MS });
  for (let rounds = random.between(4, 9); rounds > 0; rounds--) {
    if (random.chance(0.2)) {
      scene.fault({ kind: 'second-target', isolated: 0, ms: 300 }, scene.span(0, 50));
    }
    scene.writes(scene.span(3, 60), 2);
    const ms = scene.span(2, 60);
    if (random.chance(0.6)) scene.fault({ kind: 'kill', replica: 0, ms });
    else {
      const changes = random.below(14);
      scene.fault({ kind: 'die-writing', replica: 0, changes, power: random.chance(0.4), ms });
    }
    if (random.chance(0.3)) scene.fault({ kind: 'kill-target', power: false }, scene.span(0, 60));
    scene.writes(scene.span(3, 30), 3);
    scene.wait(50, random.pick([300, 3_000]));
  }
  return scene.end({ dataReplicas: 1, graceMs: 0 }, random.chance(0.3));
};

/**
 * One machine loses its memory, another one only its process, and what the disks of the two know
 * for certain is of different ages.
 */
const uneven = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 2, 3]);
  for (let rounds = random.between(2, 4); rounds > 0; rounds--) {
    const slow = random.below(dataReplicas);
    const ms = scene.span(1_500, 5_000);
    scene.fault({ kind: 'slow-disk', replica: slow, slowMs: random.pick([800, 3_000]), ms });
    scene.writes(scene.span(200, 2_500), 25);
    if (random.chance(0.5)) scene.order(0, FLUSH);
    scene.writes(scene.span(10, 400), 8);
    for (let replica = 0; replica < dataReplicas; replica++) {
      const power = replica === slow ? random.chance(0.1) : random.chance(0.85);
      scene.fault({ kind: power ? 'lose-power' : 'kill', replica, ms: scene.span(2, 40) });
    }
    if (random.chance(0.8)) scene.fault({ kind: 'kill-target', power: false }, scene.span(0, 5));
    scene.wait(500, 3_000);
  }
  return scene.end({ dataReplicas, graceMs: random.pick([200, 2_000]) });
};

/** One copy and its target end at once, and the next target starts while it is away. */
const loseFirst = (scene: Scene): void => {
  scene.fault({ kind: 'kill', replica: 0, ms: scene.span(2_500, 4_000) });
  scene.fault({ kind: 'kill-target', power: false });
  scene.fault({ kind: 'start-target' }, 1);
};

/**
 * A record of which one copy only knows, when that copy and the target are lost: the frames of the
 * target do not reach the witness (of a removal or of an activation), or the copy that has just
 * joined.
 */
const overtaken = (random: Random): Script => {
  const scene = new Scene(random);
  const target = random.pick(['removal', 'activation', 'return'] as const);
  const deaf = { kind: 'partition', direction: 'to-replica', ms: ALWAYS_MS } as const;
  scene.writes(40, 5);
  for (let rounds = random.between(1, 3); rounds > 0; rounds--) {
    if (target === 'removal') {
      scene.fault({ ...deaf, replica: 2 });
      scene.wait(1, 5);
      const lengthMs = scene.span(8, 80);
      scene.fault({ kind: 'kill', replica: 1, ms: lengthMs + scene.span(5, 60) });
      scene.writes(lengthMs, 3);
    } else if (target === 'activation') {
      const lengthMs = scene.span(2_200, 2_800);
      scene.fault({ kind: 'kill', replica: 1, ms: lengthMs + scene.span(100, 200) });
      scene.fault({ kind: 'kill-target', power: false });
      scene.fault({ kind: 'start-target' }, 1);
      scene.fault({ ...deaf, replica: 2 }, scene.span(10, 350));
      scene.wait(lengthMs - 500);
      scene.writes(500, 12);
    } else {
      scene.fault({ kind: 'slow-disk', replica: 0, slowMs: 100, ms: 1_500 });
      scene.fault({ kind: 'slow-disk', replica: 2, slowMs: 2_000, ms: 1_500 });
      scene.fault({ kind: 'kill', replica: 1, ms: scene.span(5, 50) });
      scene.fault({ ...deaf, replica: 1 }, scene.span(150, 700));
      scene.writes(900, 4);
    }
    loseFirst(scene);
    scene.wait(5_000, 7_000);
    scene.writes(40, 5);
  }
  return scene.end({ dataReplicas: 2, graceMs: 300 });
};

/**
 * A target that is replaced while nobody reaches it, with writes that nobody has answered, and that
 * finds its replicas again.
 */
const revenant = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 2, 3, 3]);
  scene.writes(60, 5);
  for (let count = 8; count > 0; count--) scene.order(count % 2, scene.hot('write'));
  const awayMs = scene.span(3_000, 6_000);
  scene.fault({ kind: 'second-target', isolated: 1, ms: awayMs });
  for (let replica = 0; replica < 5; replica++) scene.fault({ kind: 'cut', replica, noticed: 1 });
  const endMs = scene.atMs + awayMs + 3_000;
  while (scene.atMs < endMs) {
    scene.order(0, scene.hot(random.chance(0.7) ? 'write' : 'read'), 'newest');
    scene.wait(10, 60);
  }
  return scene.end({ dataReplicas, graceMs: random.pick([0, 200]) });
};

/** A promise is made, and the power goes before the disk has it. */
const promised = (scene: Scene, replicas: number): void => {
  for (let replica = 0; replica < replicas; replica++) {
    scene.fault({ kind: 'slow-disk', replica, slowMs: 120, ms: 400 });
    scene.fault({ kind: 'lose-power', replica, ms: 50 }, scene.span(3, 150));
  }
  scene.fault({ kind: 'kill-target', power: false });
  scene.fault({ kind: 'start-target' }, 1);
  scene.wait(300);
};

/** One failure of a disk right after another, of which a new promise cures only the first. */
const twice = (scene: Scene, replica: number): void => {
  scene.fault({ kind: 'full-disk', replica, ms: scene.span(5, 200) });
  scene.writes(scene.span(5, 30), 3);
  const file = scene.random.pick(['000001.img', '000001.img', 'activity'] as const);
  scene.fault({ kind: 'io-error', replica, file, operation: 'sync' });
  scene.order(0, FLUSH);
};

/** Disks that fail just when something has to be promised, and that fail twice. */
const failing = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 2, 3]);
  const file = 'superblock';
  for (let rounds = random.between(2, 5); rounds > 0; rounds--) {
    scene.writes(scene.span(5, 60), 5);
    if (random.chance(0.3)) promised(scene, dataReplicas);
    if (random.chance(0.4)) twice(scene, random.below(dataReplicas));
    for (let replica = 0; replica < dataReplicas; replica++) {
      const operation = random.pick(['write', 'sync', 'sync'] as const);
      if (random.chance(0.5)) scene.fault({ kind: 'io-error', replica, file, operation });
    }
    if (random.chance(0.6)) scene.fault({ kind: 'kill-target', power: false }, scene.span(0, 5));
    if (random.chance(0.3)) {
      const ms = scene.span(5, 300);
      scene.fault({ kind: 'kill', replica: random.below(dataReplicas), ms }, scene.span(0, 50));
    }
    scene.writes(scene.span(5, 60), 5);
    scene.wait(100, 3_000);
  }
  return scene.end({ dataReplicas, graceMs: random.pick([0, 200]) });
};

/** Atomic writes, and copies and targets that end in the middle of them. */
const atomic = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 1, 2, 3]);
  for (let rounds = random.between(4, 9); rounds > 0; rounds--) {
    const [replica, changes, ms] = [random.below(dataReplicas), random.below(14), 40];
    scene.fault({ kind: 'die-writing', replica, changes, power: random.chance(0.5), ms });
    for (const name of [0, 1, 0]) scene.order(name, ATOMIC_WRITE);
    if (random.chance(0.4)) scene.fault({ kind: 'kill-target', power: false }, scene.span(0, 9));
    scene.wait(60, 2_500);
  }
  return scene.end({ dataReplicas, graceMs: 0 }, random.chance(0.3));
};

/** Runs that aim at one kind of moment, where chance alone would take thousands of seeds. */
export const SCENARIOS = {
  split,
  seesaw,
  doubted,
  overtaken,
  revenant,
  flushed,
  alone,
  uneven,
  failing,
  ...PEOPLE_SCENARIOS,
  atomic,
  ...STORE_SCENARIOS,
  ...SCRUB_SCENARIOS,
  ...CLONE_SCENARIOS,
} as const;
export type Scenario = keyof typeof SCENARIOS;
