import { parse, View, type Spec } from 'vega';
import type { ScalePoint } from './claim-scale.ts';

const PANELS: readonly (readonly [string, (point: ScalePoint) => number])[] = [
  ['processor time of an event (ms)', ({ eventMs }) => eventMs],
  ['processor time of a claim (ms)', ({ claimMs }) => claimMs],
  ['resident memory (MiB)', (point) => point.residentBytes / 1024 ** 2],
];

/** What the provisioner needs, by how many volumes there are, as SVG. */
export const plotScale = async (points: readonly ScalePoint[]): Promise<string> => {
  const view = new View(parse(specification(points)), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
};

const specification = (points: readonly ScalePoint[]): Spec => ({
  $schema: 'https://vega.github.io/schema/vega/v6.json',
  padding: 8,
  background: 'white',
  title: { text: 'The provisioner, by how many volumes there are' },
  layout: { columns: PANELS.length, padding: 40 },
  marks: PANELS.map(([title, of], index) => ({
    type: 'group',
    name: `panel${index}`,
    encode: { update: { width: { value: 240 }, height: { value: 180 } } },
    data: [
      {
        name: 'points',
        values: points.map((point) => ({ volumes: point.volumes, value: of(point) })),
      },
    ],
    title: { text: title, fontSize: 11 },
    scales: [
      {
        name: 'x',
        type: 'log',
        domain: [
          Math.min(...points.map(({ volumes }) => volumes)),
          Math.max(...points.map(({ volumes }) => volumes)),
        ],
        range: [0, 240],
      },
      {
        name: 'y',
        type: 'linear',
        domain: [0, Math.max(...points.map(of)) * 1.2],
        range: [180, 0],
      },
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: 'volumes', values: points.map((at) => at.volumes) },
      { orient: 'left', scale: 'y', grid: true, tickCount: 5 },
    ],
    marks: [line, dots, labels],
  })),
});

const place = { x: { scale: 'x', field: 'volumes' }, y: { scale: 'y', field: 'value' } } as const;

const line = {
  type: 'line',
  from: { data: 'points' },
  encode: { enter: { ...place, stroke: { value: '#4c78a8' } } },
} as const;

const dots = {
  type: 'symbol',
  from: { data: 'points' },
  encode: { enter: { ...place, fill: { value: '#4c78a8' } } },
} as const;

const labels = {
  type: 'text',
  from: { data: 'points' },
  encode: {
    enter: {
      ...place,
      dy: { value: -8 },
      align: { value: 'center' },
      fontSize: { value: 10 },
      text: { signal: "format(datum.value, '.3~r')" },
    },
  },
} as const;
