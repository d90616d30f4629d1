import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from '@openebs/replica/runtime';
import { REPOSITORY } from '../support/daemons.ts';
import { compileClient } from './client.ts';
import { describeMachine } from './machine.ts';
import {
  beside,
  flushes,
  fullAndDelta,
  restart,
  type Figure,
  type RebuildSettings,
} from './rebuild-parts.ts';

const HELP = `npm run bench:rebuild [-- options]

What coming back costs, measured on real processes: a full rebuild against a plain copy of the same
bytes on the same disk, a delta, the restart of a target, an application beside a rebuild, and the
fdatasync calls of many flushes at once. Exit code 1 where a goal is missed.

  --only NAME          full, delta, restart, beside or flushes; may be given several times
  --size SIZE          of the volume in full, delta and beside (4GiB)
  --written SIZE       of that (2GiB)
  --absence SECONDS    of the replica in delta (60)
  --sparse-size SIZE   of the volume in restart (1TiB)
  --sparse-written SIZE  of that (10GiB)
  --seconds SECONDS    of each measurement of the application (8)
  --dir DIR            where the volumes are (${tmpdir()})
  --out DIR            where rebuild.json goes (docs/bench)
`;

const PARTS = ['full', 'delta', 'restart', 'beside', 'flushes'] as const;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [...PARTS] },
    size: { type: 'string', default: '4GiB' },
    written: { type: 'string', default: '2GiB' },
    absence: { type: 'string', default: '60' },
    'sparse-size': { type: 'string', default: '1TiB' },
    'sparse-written': { type: 'string', default: '10GiB' },
    seconds: { type: 'string', default: '8' },
    dir: { type: 'string', default: tmpdir() },
    out: { type: 'string', default: join(REPOSITORY, 'docs', 'bench') },
    help: { type: 'boolean', default: false },
  },
});

const line = ({ what, value, unit, goal, reached }: Figure): string => {
  const verdict = reached === null ? '' : reached ? 'reached' : 'MISSED';
  const amount = `${value.toPrecision(3)} ${unit}`.trim();
  return `${what.padEnd(62)} ${amount.padStart(12)}  ${(goal ?? '').padEnd(14)} ${verdict}`.trimEnd();
};

const measure = async (settings: RebuildSettings): Promise<Figure[]> => {
  const wanted = (part: (typeof PARTS)[number]): boolean => options.only.includes(part);
  const figures: Figure[] = [];
  const run = async (work: () => Promise<Figure[]>): Promise<void> => {
    const found = await work();
    for (const figure of found) console.log(line(figure));
    figures.push(...found);
  };
  const parts = { full: wanted('full'), delta: wanted('delta') };
  if (parts.full || parts.delta) await run(() => fullAndDelta(settings, parts));
  if (wanted('restart')) await run(() => restart(settings));
  if (wanted('beside')) await run(() => beside(settings));
  if (wanted('flushes')) await run(() => flushes(settings));
  return figures;
};

const main = async (): Promise<number> => {
  const unknown = options.only.find((name) => !(PARTS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    console.error(`there is no part ${unknown}; there are: ${PARTS.join(', ')}`);
    return 2;
  }
  compileClient();
  const directory = mkdtempSync(join(options.dir, 'oerebuild-'));
  const sizes = {
    sizeBytes: parseSize(options.size),
    writtenBytes: parseSize(options.written),
    absenceSeconds: Number(options.absence),
    sparseSizeBytes: parseSize(options['sparse-size']),
    sparseWrittenBytes: parseSize(options['sparse-written']),
    seconds: Number(options.seconds),
  };
  try {
    const loadBefore = loadavg()[0];
    const figures = await measure({ directory, ...sizes });
    const results = {
      date: new Date().toISOString().slice(0, 10),
      machine: describeMachine(directory),
      /** Of one minute, before and after: a busy machine is seen. */
      loadAverage: [loadBefore, loadavg()[0]],
      settings: sizes,
      figures,
    };
    mkdirSync(options.out, { recursive: true });
    const file = join(options.out, 'rebuild.json');
    writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
    console.log(`\nload average ${results.loadAverage.join(' and ')}; written: ${file}`);
    return figures.every(({ reached }) => reached !== false) ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

if (options.help) console.log(HELP);
else process.exitCode = await main();
