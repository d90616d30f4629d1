import type { Random } from '../support/random.ts';
import type { Task } from './management.ts';
import { AREAS } from './plan.ts';
import type { RotPlace } from './rot.ts';
import { managed, type FaultOf } from './scenarios-of-people.ts';
import { FLUSH, Scene, type Script } from './scene.ts';

const MIB = 1024 * 1024;
const BLOCK_SECTORS = 8;

const scrubSpeed = (random: Random): number => random.pick([4, 32, 1024]) * MIB;

/**
 * Where initiators write, on any copy: of what is written now or lies below it. A page of a
 * snapshot only when no fault follows: who comes back may need just that extent of just that copy.
 */
const rotPlace = (random: Random, late: boolean): RotPlace => {
  const kinds = ['rot', 'rot', 'rot-layer', 'rot-layer', 'rot-page'] as const;
  const kind = random.pick(late ? [...kinds, 'rot-layer-page' as const] : kinds);
  const place = { replica: random.below(8), sector: random.pick(AREAS) + random.below(48) };
  return kind === 'rot' || kind === 'rot-page'
    ? { kind, ...place }
    : { kind, ...place, layer: random.below(8) };
};

/**
 * Copies rot in what is seen and in what snapshots hold, people scrub the volume, and everything
 * else goes wrong as well.
 */
const scrubbed = (random: Random, faultOf: FaultOf): Script => {
  const tasks = ['snapshot', 'snapshot', 'delete', 'revert', 'replace', 'remove', 'add'] as const;
  const taskOf = (chance: Random): Task => {
    if (chance.chance(0.5)) return { what: 'scrub' };
    const what = chance.pick(tasks);
    switch (what) {
      case 'delete':
      case 'revert':
        return { what, snapshot: chance.below(8) };
      case 'replace':
      case 'remove':
        return { what, replica: chance.below(8) };
      default:
        return { what };
    }
  };
  const rotOrFault: FaultOf = (chance, profile) =>
    chance.chance(0.6) ? rotPlace(chance, false) : faultOf(chance, profile);
  const script = managed(random, rotOrFault, taskOf, random.pick([2, 3, 3, 3, 5]), 0.1);
  const lateRot = Array.from({ length: random.below(5) }, () => rotPlace(random, true));
  return {
    ...script,
    lateRot,
    cluster: { ...script.cluster, scrubBytesPerSecond: scrubSpeed(random) },
  };
};

/**
 * Snapshots are made and deleted, the volume is reverted, and what only older layers hold has
 * rotted: blocks that keep a copy from merging what the others have merged.
 */
const buried = (random: Random): Script => {
  const scene = new Scene(random);
  const written: number[] = [];
  // As above: with rotten pages all copies stay.
  const pages = random.chance(0.5);
  const rot = (): RotPlace => ({
    kind: pages && random.chance(0.6) ? 'rot-layer-page' : 'rot-layer',
    replica: random.below(8),
    layer: random.below(8),
    sector: random.pick(written) + random.below(BLOCK_SECTORS),
  });
  for (let rounds = random.between(2, 5); rounds > 0; rounds--) {
    if (random.chance(0.5)) scene.task({ what: 'scrub' });
    // Perhaps while the first extent is scrubbed, and the superblock with it.
    scene.task({ what: 'snapshot' }, scene.span(0, 12));
    scene.wait(60, 200);
    for (let count = random.between(1, 5); count > 0; count--) {
      const order = scene.block(random.chance(0.9) ? 'write' : 'unmap', random.below(3));
      scene.order(0, order);
      written.push(order.sector);
      scene.wait(1, 5);
    }
    scene.wait(40);
    if (random.chance(0.6)) scene.fault(rot());
    if (!pages && random.chance(0.2)) {
      scene.fault({ kind: 'kill', replica: random.below(3), ms: 200 });
    }
    const what = random.pick(['delete', 'delete', 'revert', 'scrub'] as const);
    scene.task(what === 'scrub' ? { what } : { what, snapshot: random.below(8) });
    scene.wait(60, random.pick([100, 800]));
  }
  scene.order(0, FLUSH);
  for (let count = random.between(1, 4); count > 0; count--) scene.lateRot.push(rot());
  const dataReplicas = random.pick([2, 3, 3, 5]);
  return scene.end(
    { dataReplicas, graceMs: 0, scrubBytesPerSecond: scrubSpeed(random) },
    random.chance(0.4),
  );
};

/**
 * A snapshot hides what an older one holds, and has no data of its own there; its page turns into
 * zeroes, as if it said nothing.
 */
const blanked = (random: Random): Script => {
  const scene = new Scene(random);
  // No other copy ends: it may need just that extent of just this copy.
  const replica = random.below(2);
  for (let rounds = random.between(1, 3); rounds > 0; rounds--) {
    const area = random.below(3);
    const blocks = Array.from({ length: random.between(1, 4) }, () => scene.block('write', area));
    // Twice, so that the zeroes of the unmap are told from those of before.
    for (const order of [...blocks, ...blocks]) {
      scene.order(0, order);
      scene.wait(2, 6);
    }
    scene.order(0, FLUSH);
    scene.wait(30, 60);
    scene.task({ what: 'snapshot' });
    scene.wait(60, 200);
    for (const order of blocks) scene.order(0, { ...order, operation: 'unmap' });
    scene.wait(20, 60);
    scene.task({ what: 'snapshot' });
    scene.wait(60, 200);
    // Merged into a layer that has nothing there, or into the head.
    if (random.chance(0.4)) scene.task({ what: 'snapshot' });
    scene.wait(60, 200);
    if (random.chance(0.4)) scene.task({ what: 'delete', snapshot: -1 - random.below(2) });
    scene.wait(100, 400);
    const [{ sector }] = blocks as [(typeof blocks)[0]];
    for (let count = random.between(1, 3); count > 0; count--) {
      scene.fault({ kind: 'blank-layer-page', replica, layer: random.below(8), sector });
    }
    if (random.chance(0.5)) scene.fault({ kind: 'kill', replica, ms: 50 }, 5);
    scene.wait(100, 600);
    scene.readAll();
    if (random.chance(0.5)) scene.task({ what: 'scrub' });
    scene.wait(100, 800);
  }
  const dataReplicas = random.pick([2, 3, 3]);
  return scene.end({ dataReplicas, graceMs: 0, scrubBytesPerSecond: scrubSpeed(random) });
};

/** Initiators write to what is repaired just then, from slow disks, and read it at once. */
const overtaking = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 3, 3]);
  for (let rounds = random.between(2, 5); rounds > 0; rounds--) {
    const area = random.below(3);
    const replica = random.below(dataReplicas);
    for (let count = 10; count > 0; count--) scene.order(0, scene.block('write', area));
    scene.wait(20);
    scene.order(0, FLUSH);
    scene.wait(80, 200);
    const bad = Array.from({ length: random.between(1, 3) }, () => scene.block('write', area));
    for (const { sector } of bad) scene.fault({ kind: 'rot', replica, sector });
    for (let other = 0; other < dataReplicas; other++) {
      const slowMs = random.pick([5, 20, 60]);
      if (other !== replica) scene.fault({ kind: 'slow-disk', replica: other, slowMs, ms: 400 });
    }
    scene.task({ what: 'scrub' });
    scene.wait(5, 60);
    for (const order of bad) {
      scene.order(0, order);
      for (let reads = random.between(4, 20); reads > 0; reads--) {
        scene.wait(0.2, 1.5);
        scene.order(1, { ...order, operation: 'read' });
      }
      scene.wait(0, 20);
    }
    scene.wait(300, 900);
  }
  return scene.end({ dataReplicas, graceMs: 0, scrubBytesPerSecond: 1024 * MIB });
};

/** Runs in which copies rot and are scrubbed; at their end everything has to be good again. */
export const SCRUB_SCENARIOS = { scrubbed, buried, blanked, overtaking } as const;
