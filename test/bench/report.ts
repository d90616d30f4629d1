import type { Results, Spread } from './results.ts';
import { figure, ratio } from './results.ts';
import { BASELINE } from './systems.ts';

/** The results as Markdown tables, for a terminal and for the README. */
export function report(results: Results): string {
  return [
    facts(results),
    '\n### Operations per second, and times tgt (median, min–max over the rounds)\n',
    table(results, (workload, system) => {
      const iops = figure(results, workload, system, 'iops');
      if (iops === null) return '';
      const times = system === BASELINE ? null : ratio(results, workload, system);
      return times === null ? count(iops.median) : `${count(iops.median)} · ${timesText(times)}`;
    }),
    '\n### Latency in microseconds: p50 / p99 / p99.9 (medians)\n',
    table(results, (workload, system) =>
      (['p50', 'p99', 'p999'] as const)
        .map((name) => figure(results, workload, system, name))
        .flatMap((one) => (one === null ? [] : [count(one.median)]))
        .join(' / '),
    ),
    '\n### CPU time of all server processes per operation, in microseconds (median)\n',
    table(results, (workload, system) => {
      const cpu = figure(results, workload, system, 'cpuPerOperation');
      return cpu === null ? '' : cpu.median.toFixed(cpu.median < 100 ? 1 : 0);
    }),
  ].join('\n');
}

function facts({ machine, settings, systems, date }: Results): string {
  return [
    `${date}: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGib} GiB, ` +
      `Linux ${machine.kernel}, ${machine.fileSystem}, Node.js ${machine.node}, tgt ${machine.tgt}`,
    Object.entries(settings)
      .map(([key, value]) => `${key} ${value}`)
      .join(', '),
    ...systems.map(({ name, description }) => `- ${name}: ${description}`),
  ].join('\n');
}

function table(results: Results, cell: (workload: string, system: string) => string): string {
  const rows = [
    ['', ...results.systems.map(({ name }) => name)],
    ...results.workloads.map(({ id, title }) => [
      title,
      ...results.systems.map(({ name }) => cell(id, name)),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  // The first column is text, the others are figures.
  const line = (row: readonly string[]): string => {
    const cells = row.map((text, column) =>
      column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!),
    );
    return `| ${cells.join(' | ')} |`;
  };
  const rules = widths.map((width, column) => '-'.repeat(width + 1) + (column === 0 ? '-' : ':'));
  return [line(rows[0]!), `|${rules.join('|')}|`, ...rows.slice(1).map(line)].join('\n');
}

const timesText = ({ median, min, max }: Spread): string =>
  `${median.toFixed(2)}x (${min.toFixed(2)}–${max.toFixed(2)})`;

const count = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
