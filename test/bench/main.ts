/**
 * Measures this system beside tgt: the same client, the same machine, one run, interleaved.
 *
 * In each round every workload runs on every system, one directly after the other and in an order
 * that turns from round to round, so that a machine that grows slower meanwhile is slow for all;
 * ratios are taken within a round. Before each measurement dirty pages are written back, so that
 * nobody pays for what another one wrote.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { REPOSITORY } from '../support/daemons.ts';
import { Debian } from '../support/debian.ts';
import { cpuSeconds } from '../support/process-usage.ts';
import { compileClient, runClient } from './client.ts';
import { describeMachine } from './machine.ts';
import { plot } from './plot.ts';
import { report } from './report.ts';
import type { Measurement, Results } from './results.ts';
import type { System } from './systems.ts';
import { BASELINE, SYSTEMS } from './systems.ts';
import type { Workload } from './workloads.ts';
import { WORKLOADS } from './workloads.ts';

const HELP = `npm run bench -- [options]

  --rounds N         how often everything is measured (3)
  --seconds N        how long one measurement takes (3)
  --working-set N    bytes of the volume, all of it filled before (1073741824)
  --only TEXT        workloads whose name has this in it: ${WORKLOADS.map(({ id }) => id).join(' ')}
  --systems A,B      of ${SYSTEMS.map(({ name }) => name).join(',')}
  --quick            one round of one second, 256 MiB
  --seed N           of the offsets (1)
  --dir DIR          where the volumes are (${tmpdir()})
  --out DIR          where results.json and results.svg go (.cache/bench)
  --profile DIR      write a CPU profile of each of our daemons
`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    'working-set': { type: 'string' },
    only: { type: 'string', default: '' },
    systems: { type: 'string', default: SYSTEMS.map(({ name }) => name).join(',') },
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    dir: { type: 'string', default: tmpdir() },
    out: { type: 'string', default: join(REPOSITORY, '.cache', 'bench') },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const settings = {
  rounds: Number(options.rounds ?? (options.quick ? 1 : 3)),
  seconds: Number(options.seconds ?? (options.quick ? 1 : 3)),
  workingSetBytes: Number(options['working-set'] ?? (options.quick ? 2 ** 28 : 2 ** 30)),
  seed: Number(options.seed),
};
const workloads = WORKLOADS.filter(({ id }) => id.includes(options.only));
const kinds = SYSTEMS.filter(({ name }) => options.systems.split(',').includes(name));

async function start(directory: string): Promise<System[]> {
  const nodeFlags =
    options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const systems: System[] = [];
  for (const kind of kinds) {
    const system = await kind.start({
      directory: join(directory, kind.name),
      sizeBytes: settings.workingSetBytes,
      nodeFlags,
    });
    systems.push(system);
    console.log(`filling ${kind.name}`);
    await run(system, { mode: 'fill', blockBytes: 2 ** 20, depth: 8, sessions: 1 }, 0);
  }
  return systems;
}

async function run(
  system: System,
  load: Pick<Workload, 'blockBytes' | 'depth' | 'sessions'> & { mode: Workload['mode'] | 'fill' },
  round: number,
): Promise<Omit<Measurement, 'workload' | 'system' | 'round'>> {
  execFileSync('sync');
  const before = total(system);
  const result = await runClient({
    port: system.port,
    target: system.target,
    lun: system.lun,
    mode: load.mode,
    blockBytes: load.blockBytes,
    depth: load.depth,
    sessions: load.sessions,
    seconds: settings.seconds,
    workingSetBytes: settings.workingSetBytes,
    seed: settings.seed + round,
  });
  return { ...result, cpuPerOperation: ((total(system) - before) / result.operations) * 1e6 };
}

const total = (system: System): number =>
  system.pids().reduce((seconds, pid) => seconds + cpuSeconds(pid), 0);

async function measure(systems: readonly System[]): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    for (const workload of workloads) {
      for (let turn = 0; turn < systems.length; turn++) {
        const system = systems[(turn + round) % systems.length]!;
        const measured = await run(system, workload, round);
        measurements.push({
          workload: workload.id,
          system: system.name,
          round,
          ...measured,
        });
        console.log(
          `round ${round + 1}/${settings.rounds}  ${workload.id.padEnd(24)} ` +
            `${system.name.padEnd(15)}${measured.iops.toFixed(0).padStart(9)} op/s ` +
            `${measured.cpuPerOperation.toFixed(1).padStart(8)} us CPU/op`,
        );
      }
    }
  }
  return measurements;
}

function requirements(): void {
  const debian = new Debian(REPOSITORY, (line) => console.log(line));
  const missing = debian.provide([
    { command: 'gcc', packages: ['gcc', 'libc6-dev'] },
    ...(kinds.some(({ name }) => name === BASELINE)
      ? [{ command: 'tgtd', packages: ['tgt'] }]
      : []),
  ]);
  if (missing === null) return;
  console.error(missing);
  process.exit(1);
}

async function main(): Promise<void> {
  requirements();
  compileClient();
  const directory = mkdtempSync(join(options.dir, 'oebench-'));
  const systems: System[] = [];
  try {
    systems.push(...(await start(directory)));
    const results: Results = {
      date: new Date().toISOString().slice(0, 10),
      machine: describeMachine(directory),
      settings,
      workloads: workloads.map(({ id, title }) => ({ id, title })),
      systems: kinds.map(({ name, description }) => ({ name, description })),
      measurements: await measure(systems),
    };
    mkdirSync(options.out, { recursive: true });
    writeFileSync(join(options.out, 'results.json'), `${JSON.stringify(results, null, 1)}\n`);
    writeFileSync(join(options.out, 'results.svg'), await plot(results));
    console.log(`\n${report(results)}\n\nwritten: ${join(options.out, 'results.{json,svg}')}`);
  } finally {
    await Promise.all(systems.map((system) => system.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

if (options.help) console.log(HELP);
else await main();
