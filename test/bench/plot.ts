import type { Spec } from 'vega';
import { parse, View } from 'vega';
import type { Results } from './results.ts';
import { ratio } from './results.ts';
import { BASELINE } from './systems.ts';

/** The ratios to tgt as bars with their spread, as SVG. */
export async function plot(results: Results): Promise<string> {
  const view = new View(parse(specification(results)), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}

function specification(results: Results): Spec {
  const systems = results.systems.map(({ name }) => name).filter((name) => name !== BASELINE);
  const values = results.workloads.flatMap(({ id, title }) =>
    systems.flatMap((system) => {
      const times = ratio(results, id, system);
      return times === null ? [] : [{ workload: title, system, ...times }];
    }),
  );
  const top = Math.ceil(Math.max(2, ...values.map(({ max }) => max)));
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: 960,
    height: 24 * Math.max(values.length, 1),
    padding: 8,
    background: 'white',
    title: { text: 'Operations per second, times tgt on one file' },
    data: [{ name: 'ratios', values }],
    scales: [
      {
        name: 'x',
        type: 'linear',
        domain: [0, top],
        range: 'width',
      },
      {
        name: 'workload',
        type: 'band',
        domain: results.workloads.map(({ title }) => title),
        range: 'height',
        paddingInner: 0.25,
      },
      { name: 'color', type: 'ordinal', domain: systems, range: { scheme: 'tableau10' } },
    ],
    axes: [
      { orient: 'bottom', scale: 'x', grid: true, title: 'times tgt' },
      { orient: 'left', scale: 'workload', labelLimit: 260 },
    ],
    legends: [{ fill: 'color', orient: 'top', direction: 'horizontal' }],
    marks: [
      {
        type: 'group',
        from: { facet: { data: 'ratios', name: 'group', groupby: 'workload' } },
        encode: { enter: { y: { scale: 'workload', field: 'workload' } } },
        signals: [{ name: 'height', update: "bandwidth('workload')" }],
        scales: [{ name: 'system', type: 'band', domain: systems, range: 'height', padding: 0.1 }],
        marks: [bars, whiskers, labels],
      },
      {
        type: 'rule',
        encode: {
          enter: {
            x: { scale: 'x', value: 1 },
            y: { value: 0 },
            y2: { field: { group: 'height' } },
            stroke: { value: '#444' },
            strokeDash: { value: [4, 3] },
          },
        },
      },
    ],
  };
}

const middle = { scale: 'system', field: 'system', band: 0.5 } as const;

const bars = {
  type: 'rect',
  from: { data: 'group' },
  encode: {
    enter: {
      y: { scale: 'system', field: 'system' },
      height: { scale: 'system', band: 1 },
      x: { scale: 'x', value: 0 },
      x2: { scale: 'x', field: 'median' },
      fill: { scale: 'color', field: 'system' },
    },
  },
} as const;

const whiskers = {
  type: 'rule',
  from: { data: 'group' },
  encode: {
    enter: {
      y: middle,
      x: { scale: 'x', field: 'min' },
      x2: { scale: 'x', field: 'max' },
      stroke: { value: '#222' },
      strokeWidth: { value: 2 },
    },
  },
} as const;

const labels = {
  type: 'text',
  from: { data: 'group' },
  encode: {
    enter: {
      y: middle,
      x: { scale: 'x', field: 'max', offset: 6 },
      baseline: { value: 'middle' },
      fontSize: { value: 10 },
      text: { signal: "format(datum.median, '.2f')" },
    },
  },
} as const;
