import type { Random } from '../support/random.ts';
import { AREAS } from './plan.ts';
import { ALWAYS_MS, FLUSH, Scene, SIZE_BYTES, type Script } from './scene.ts';

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
    // Zeroes of before are gone for good then, so that those of an unmap are told from them.
    scene.order(0, FLUSH);
    scene.wait(10, 40);
    scene.task({ what: 'snapshot' });
    scene.wait(50, 150);
    blocks('unmap', 8);
    // Before anything dies, so that what is wrong here is wrong for no other reason.
    scene.readAll();
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

const EXTENT_SECTORS = 2048;
const EXTENTS = SIZE_BYTES / 512 / EXTENT_SECTORS;
/** The most that one order writes: whole blocks. */
const PIECE_SECTORS = 48;

/**
 * Extents are copied to one that comes back, from slow disks, while initiators write to the blocks
 * that are copied: each sector once, so that nothing puts right what a copy has overtaken.
 */
const racing = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([2, 2, 3]);
  const replica = random.below(dataReplicas);
  scene.writes(40, 5);
  const awayMs = scene.span(60, 150);
  scene.fault({ kind: 'kill', replica, ms: awayMs });
  for (let other = 0; other < dataReplicas; other++) {
    const slowMs = random.pick([5, 20, 40]);
    if (other !== replica) scene.fault({ kind: 'slow-disk', replica: other, slowMs, ms: 3_000 });
  }
  const left: number[] = [];
  for (let extent = 0; extent < EXTENTS; extent++) {
    for (const half of [0, EXTENT_SECTORS / 2]) {
      // Not at the edges: there is the range of the atomic writes.
      const block = random.between(PIECE_SECTORS / 8, EXTENT_SECTORS / 16 - PIECE_SECTORS / 4);
      const sector = extent * EXTENT_SECTORS + half + block * 8;
      scene.order(0, { operation: 'write', sector, count: PIECE_SECTORS });
      scene.wait(3, 5);
      for (let at = 0; at < PIECE_SECTORS; at++) left.push(sector + at);
    }
  }
  scene.wait(awayMs);
  while (left.length > 0) {
    const [sector = 0] = left.splice(random.below(left.length), 1);
    const operation = random.chance(0.1) ? 'unmap' : 'write';
    scene.order(random.below(2), { operation, sector, count: 1 });
    scene.wait(1, 3);
  }
  scene.readAll();
  scene.wait(50);
  return scene.end({ dataReplicas, graceMs: 200 });
};

/**
 * A write that waits for its mark on one copy, and reaches no other one, when its target ends; the
 * next one serves before the mark is durable.
 */
const leftover = (random: Random): Script => {
  const scene = new Scene(random);
  scene.writes(40, 5);
  for (let rounds = random.between(1, 2); rounds > 0; rounds--) {
    // Long enough that no region is marked any more.
    scene.wait(600, 1_200);
    const replica = random.below(2);
    scene.fault({ kind: 'slow-disk', replica, slowMs: 8_000, ms: 40 });
    const deaf = { kind: 'partition', direction: 'to-replica', ms: ALWAYS_MS } as const;
    scene.fault({ ...deaf, replica: 1 - replica });
    for (const area of [0, 1, 2]) scene.order(0, scene.hot('write', area));
    scene.wait(5, 40);
    scene.fault({ kind: 'kill-target', power: false });
    scene.fault({ kind: 'start-target' }, 1);
    scene.wait(3_000, 5_000);
    scene.readAll();
    scene.wait(4_000, 6_000);
  }
  return scene.end({ dataReplicas: 2, graceMs: 0 }, false, [15, 30]);
};

/**
 * Bad blocks are found and repaired while a copy that lost its memory is on its way in, and the
 * target ends before it is there.
 */
const mended = (random: Random): Script => {
  const scene = new Scene(random);
  const blocks = (count: number): void => {
    for (let left = count; left > 0; left--) {
      scene.order(0, scene.block('write', random.below(3)));
      scene.wait(1, 3);
    }
  };
  for (let rounds = random.between(2, 4); rounds > 0; rounds--) {
    const replica = random.below(3);
    const source = (replica + random.between(1, 2)) % 3;
    blocks(12);
    scene.wait(60);
    scene.order(0, FLUSH);
    scene.wait(30);
    // Only the memory of the one that is lost has these.
    blocks(12);
    scene.wait(20);
    scene.fault({ kind: 'lose-power', replica, ms: scene.span(2, 10) });
    scene.fault({ kind: 'slow-disk', replica: source, slowMs: random.pick([5, 20, 50]), ms: 900 });
    scene.wait(50, 150);
    scene.fault({ kind: 'rot', replica: source, sector: random.pick(AREAS) });
    scene.readAll();
    scene.wait(50, 400);
    scene.fault({ kind: random.pick(['kill-target', 'stop-target']), power: false });
    scene.wait(2_000, 3_500);
  }
  return scene.end({ dataReplicas: 3, graceMs: 0 });
};

/**
 * A process ends in the middle of an atomic write, the next one takes up what it finds of it, other
 * writes to the same blocks are flushed, and the machine loses its power.
 */
const redone = (random: Random): Script => {
  const scene = new Scene(random);
  const dataReplicas = random.pick([1, 1, 2, 3]);
  for (let rounds = random.between(3, 6); rounds > 0; rounds--) {
    const replica = random.below(dataReplicas);
    const changes = random.below(14);
    scene.fault({ kind: 'die-writing', replica, changes, power: false, ms: scene.span(1, 20) });
    scene.order(0, { ...scene.block('write', 0), operation: 'write-atomic' });
    // A target that lives would send it again.
    scene.wait(3, 20);
    scene.fault({ kind: 'kill-target', power: false });
    scene.fault({ kind: 'start-target' }, 1);
    scene.wait(300, 800);
    // Initiators find the new target.
    scene.order(0, scene.block('read', 0));
    scene.wait(60);
    for (let count = 8; count > 0; count--) scene.order(0, scene.block('write', 0));
    scene.wait(20, 60);
    scene.order(0, FLUSH);
    scene.wait(20, 60);
    scene.fault({ kind: 'lose-power', replica, ms: scene.span(2, 40) });
    scene.wait(300, 2_500);
    scene.readAll();
    scene.wait(20);
  }
  return scene.end({ dataReplicas, graceMs: 0 }, random.chance(0.3));
};

/** Runs that aim at moments of the store, and at what a copy of an extent depends on. */
export const STORE_SCENARIOS = { marked, hollow, racing, leftover, mended, redone } as const;
