import type { Random } from '../support/random.ts';
import { FLUSH, Scene, type Script } from './scene.ts';

/**
 * A mark of the activity log that is not durable yet when the power goes, and one that is taken
 * back while its region is written.
 */
const marked = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 1, 2]);
  for (let rounds = random.between(3, 6); rounds > 0; rounds--) {
    scene.writes(scene.span(20, 80), 4);
    scene.order(0, FLUSH);
    const replica = random.below(dataReplicas);
    if (random.chance(0.5)) {
      // Long enough that no region is marked any more.
      scene.wait(400, 1_200);
      scene.fault({ kind: 'slow-disk', replica, slowMs: 200, ms: 300 });
      scene.writes(scene.span(2, 10), 1);
      scene.fault({ kind: 'lose-power', replica, ms: 20 }, scene.span(1, 40));
    } else {
      const slowMs = random.pick([30, 100]);
      scene.fault({ kind: 'slow-disk', replica, slowMs, ms: 1_500 });
      scene.wait(40, 400);
      for (const area of [0, 2]) scene.order(0, scene.hot('write', area));
      scene.fault({ kind: 'kill', replica, ms: 20 }, scene.span(5, 400));
      scene.wait(400);
    }
    scene.wait(200, 1_500);
    scene.readAll();
    scene.wait(50);
  }
  return scene.end({ dataReplicas, graceMs: 0 }, false, [15, 30]);
};

/** Blocks of a snapshot that are unmapped in a layer on top of it, and that layer is merged. */
const hollow = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 2, 3]);
  const blocks = (operation: 'write' | 'unmap', count: number): void => {
    for (let left = count; left > 0; left--) {
      scene.order(0, scene.block(operation, random.below(3)));
    }
    scene.wait(20, 80);
  };
  for (let rounds = random.between(1, 3); rounds > 0; rounds--) {
    blocks('write', 16);
    scene.task({ what: 'snapshot' });
    scene.wait(50, 150);
    blocks('unmap', 8);
    if (random.chance(0.4)) blocks('write', 3);
    scene.task({ what: 'snapshot' });
    scene.wait(50, 150);
    if (random.chance(0.4)) blocks(random.pick(['write', 'unmap']), 4);
    // The newest goes into the head; the one before, into the newest.
    scene.task({ what: 'delete', snapshot: random.pick([-1, -1, -2]) });
    if (random.chance(0.3)) {
      const replica = random.below(dataReplicas);
      scene.fault({ kind: 'kill', replica, ms: 30 }, scene.span(5, 500));
    }
    scene.wait(300, 2_000);
    scene.readAll();
    scene.wait(50);
  }
  return scene.end({ dataReplicas, graceMs: 200 });
};

/** Extents are copied to one that comes back while initiators write the same blocks. */
const racing = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 2, 3]);
  scene.writes(40, 5);
  for (let rounds = random.between(1, 3); rounds > 0; rounds--) {
    const replica = random.below(dataReplicas);
    const other = (replica + 1) % dataReplicas;
    const ms = scene.span(50, 200);
    scene.fault({ kind: 'kill', replica, ms });
    const slowMs = random.pick([2, 5, 20]);
    scene.fault({ kind: 'slow-disk', replica: other, slowMs, ms: 1_500 }, ms);
    // Copies wait for 300 ms when initiators are there.
    scene.writes(scene.span(800, 1_500), random.pick([1.5, 3]));
    scene.wait(20, 300);
    scene.readAll();
    scene.wait(50);
  }
  return scene.end({ dataReplicas, graceMs: 200 });
};

/** Runs that aim at moments of the store, and at what a copy of an extent depends on. */
export const STORE_SCENARIOS = { marked, hollow, racing } as const;
