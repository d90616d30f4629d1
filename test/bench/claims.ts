import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Installation, NAMESPACE } from '../cluster/installation.ts';
import { startPlane, stopPlane } from '../cluster/plane.ts';
import { missingPrograms } from '../cluster/programs.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { runRound, type Contender, type Round } from './claim-round.ts';
import { measureScale, type ScalePoint } from './claim-scale.ts';
import { buildReference, GO_CLASS, GoReference } from './go-reference.ts';
import { describeMachine } from './machine.ts';
import { quantile, spread } from './results.ts';
import { plotScale } from './scale-plot.ts';

const HELP = `npm run bench:claims [-- options]

Many claims at once, for the provisioner and for a program on the Go library's controller, one after
the other on one real control plane without nodes: how soon each claim has its PersistentVolume, is
bound, and all Deployments and Services of its volume are made. Both work on 16 claims at once; both
make the same Deployments and Services; each watches also while the other works. Exit code 1 where
it takes longer than the reference.

  --claims N     at once (100)
  --rounds N     of each; medians and the medians of ratios count (3)
  --volumes LIST instead, what the provisioner needs with so many volumes, as 10,100,1000: processor
                 time of an event and of a claim, and memory; Deployments stay without pods. Exit
                 code 1 where it takes more than 150 MiB, or an event of the last takes half as
                 much again as one of the first.
  --out DIR      where claims.json goes, or claims-scale.json and .svg (docs/bench)
`;

const { values: options } = parseArgs({
  options: {
    claims: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '3' },
    volumes: { type: 'string' },
    out: { type: 'string', default: join(REPOSITORY, 'docs', 'bench') },
    help: { type: 'boolean', default: false },
  },
});

/** Of the provisioner with a thousand volumes. */
const MOST_BYTES = 150 * 1024 ** 2;
/** Of an event with the most volumes, times one with the fewest. */
const MOST_GROWTH = 1.5;

const OURS = 'provisioner';
const GO = 'Go reference';

const FIGURES: readonly {
  readonly what: string;
  readonly unit: string;
  readonly of: (round: Round) => number;
  /** The reference's times this is the most that is taken. */
  readonly goal?: number;
}[] = [
  ...(['volume', 'bound', 'whole'] as const).flatMap((kind) => {
    const until = { volume: 'PersistentVolume', bound: 'Bound', whole: 'all objects made' }[kind];
    return (
      [
        ['p50', 0.5],
        ['p99', 0.99],
        ['total', 1],
      ] as const
    ).map(([name, q]) => ({
      what: `${until}, ${name}`,
      unit: 's',
      of: ({ times }: Round) => quantile(times[kind], q) / 1000,
      ...(kind === 'whole' ? {} : { goal: 1 }),
    }));
  }),
  { what: 'processor time of the process', unit: 's', of: (round) => round.cpuSeconds },
  { what: 'processor time of the control plane', unit: 's', of: (round) => round.planeCpuSeconds },
  { what: 'resident memory', unit: 'MiB', of: (round) => round.residentBytes / 1024 ** 2 },
  {
    what: 'calls of the API for a claim',
    unit: '',
    of: ({ calls }) => Object.values(calls).reduce((sum, count) => sum + count, 0),
  },
];

const summarize = (rounds: readonly Round[]) =>
  FIGURES.map(({ what, unit, of, goal }) => {
    const [ours, go] = [OURS, GO].map((name) =>
      rounds.filter(({ contender }) => contender === name).map(of),
    ) as [number[], number[]];
    const ratio = spread(ours.map((value, round) => value / (go[round] ?? NaN)));
    return {
      ...{ what, unit, ours: spread(ours), go: spread(go), ratio },
      ...(goal === undefined ? {} : { goal, reached: (ratio?.median ?? Infinity) <= goal }),
    };
  });

type Summary = ReturnType<typeof summarize>;

const print = (summary: Summary): void => {
  const cell = (value: number | undefined): string => (value ?? NaN).toPrecision(3).padStart(12);
  const titles = [OURS, GO, 'ratio'].map((title) => title.padStart(12)).join(' ');
  console.log(`${'medians'.padEnd(44)} ${titles}`);
  for (const { what, unit, ours, go, ratio, reached } of summary) {
    const title = unit === '' ? what : `${what} (${unit})`;
    const cells = [ours?.median, go?.median, ratio?.median].map(cell).join(' ');
    const verdict = reached === undefined ? '' : reached ? 'reached' : 'MISSED';
    console.log(`${title.padEnd(44)} ${cells}  ${verdict}`.trimEnd());
  }
};

const measure = async (): Promise<Round[]> => {
  const [count, rounds] = [Number(options.claims), Number(options.rounds)];
  await startPlane({ audited: NAMESPACE });
  const cluster = new Installation();
  const reference = new GoReference(cluster);
  try {
    await cluster.prepare();
    await cluster.start();
    await reference.start();
    const user = (account: string): string => `system:serviceaccount:${NAMESPACE}:${account}`;
    const contenders: readonly Contender[] = [
      {
        ...{ name: OURS, className: 'mirrored', user: user('openebs-provisioner') },
        pid: () => cluster.pid ?? 0,
      },
      { name: GO, className: GO_CLASS, user: user(GO_CLASS), pid: () => reference.pid },
    ];
    // What is done for the first time is slow for both.
    for (const each of contenders) await runRound(cluster, each, { count: 10, round: 0 });
    const done: Round[] = [];
    for (let round = 1; round <= rounds; round++) {
      // Neither is always the first one.
      const order = round % 2 === 1 ? contenders : contenders.toReversed();
      for (const each of order) {
        done.push(await runRound(cluster, each, { count, round }));
        console.log(`round ${round}, ${each.name}: done`);
      }
    }
    return done;
  } finally {
    await reference.stop();
    await cluster.stop();
    await stopPlane();
  }
};

/** As the image does: without it what translates TypeScript stays in memory, 28 MiB. */
const compile = (): void => {
  process.env['NODE_COMPILE_CACHE'] ??= join(REPOSITORY, '.cache', 'compile');
  execFileSync(process.execPath, [join(REPOSITORY, 'docker', 'compile.ts')], { cwd: REPOSITORY });
};

/** Whatever is measured, with where and when. */
const write = (name: string, loadBefore: number | undefined, what: object): void => {
  const results = {
    date: new Date().toISOString().slice(0, 10),
    machine: { ...describeMachine('/'), tgt: undefined },
    /** Of one minute, before and after: a busy machine is seen. */
    loadAverage: [loadBefore, loadavg()[0]],
    ...what,
  };
  mkdirSync(options.out, { recursive: true });
  const file = join(options.out, name);
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  console.log(`\nload average ${results.loadAverage.join(' and ')}; written: ${file}`);
};

const scale = async (sizes: readonly number[]): Promise<number> => {
  if (sizes.length === 0 || !sizes.every((size, at) => size > (sizes[at - 1] ?? 1))) {
    console.error('--volumes takes rising numbers above 1, as 10,100,1000');
    return 2;
  }
  const loadBefore = loadavg()[0];
  const points = await measureScale(sizes, (point) => {
    const { volumes, residentBytes, idleMs, eventMs, claimMs } = point;
    const mebibytes = Math.round(residentBytes / 1024 ** 2);
    const times = `event ${eventMs.toFixed(2)} ms, claim ${claimMs.toFixed(1)} ms`;
    console.log(`${volumes} volumes: ${mebibytes} MiB, ${times}, idle ${idleMs.toFixed(1)} ms/s`);
  });
  write('claims-scale.json', loadBefore, { points });
  writeFileSync(join(options.out, 'claims-scale.svg'), await plotScale(points));
  const [first, last] = [points[0], points.at(-1)] as [ScalePoint, ScalePoint];
  const small = points.every(({ residentBytes }) => residentBytes <= MOST_BYTES);
  return small && last.eventMs <= MOST_GROWTH * first.eventMs ? 0 : 1;
};

const main = async (): Promise<number> => {
  const isScale = options.volumes !== undefined;
  const needed = isScale ? [missingPrograms()] : [missingPrograms(), buildReference()];
  const missing = needed.filter((one) => one !== null);
  if (missing.length > 0) {
    console.error(missing.join('\n'));
    return 2;
  }
  compile();
  if (options.volumes !== undefined) return scale(options.volumes.split(',').map(Number));
  const loadBefore = loadavg()[0];
  const rounds = await measure();
  const summary = summarize(rounds);
  print(summary);
  const settings = { claims: Number(options.claims), rounds: Number(options.rounds) };
  write('claims.json', loadBefore, { settings, summary, rounds });
  return summary.every(({ reached }) => reached !== false) ? 0 : 1;
};

if (options.help) console.log(HELP);
else process.exitCode = await main();
