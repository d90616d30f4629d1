/**
 * Prometheus metrics, text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Observing costs a few nanoseconds
 * and allocates nothing: a series is made once and kept by whoever observes.
 */
type Labels = Readonly<Record<string, string>>;
type MetricType = 'counter' | 'gauge' | 'histogram';

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labels?: Labels;
}

export class Counter {
  value = 0;

  add(amount: number): void {
    this.value += amount;
  }
}

export class Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }
}

/** Latency in seconds: 10 us to 10 s, three buckets to each power of ten. */
export const LATENCY_BOUNDS_SECONDS: readonly number[] = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5, 10,
];

export class Histogram {
  readonly bounds: Float64Array;
  /** Not cumulative; the last one counts what is above all bounds. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = Float64Array.from(bounds);
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
  }

  get count(): number {
    return this.counts.reduce((total, count) => total + count, 0);
  }
}

interface Series {
  readonly labels: Labels;
  readonly write: (name: string, labels: Labels, lines: string[]) => void;
}

interface Family {
  readonly help: string;
  readonly type: MetricType;
  readonly series: Series[];
}

export class MetricRegistry {
  readonly #common: Labels;
  readonly #families = new Map<string, Family>();

  /** `common` labels stand on every series: volume, replica. */
  constructor(common: Labels = {}) {
    this.#common = common;
  }

  counter(described: Described): Counter {
    const counter = new Counter();
    this.#add(
      described,
      'counter',
      writeValue(() => counter.value),
    );
    return counter;
  }

  gauge(described: Described): Gauge {
    const gauge = new Gauge();
    this.#add(
      described,
      'gauge',
      writeValue(() => gauge.value),
    );
    return gauge;
  }

  /** A counter or gauge whose value is asked for at each scrape; null leaves the series out. */
  observed(
    described: Described & {
      readonly type: 'counter' | 'gauge';
      readonly read: () => number | null;
    },
  ): void {
    this.#add(described, described.type, writeValue(described.read));
  }

  /** Series that come and go: who is there, with which value, is asked for at each scrape. */
  observedEach(
    described: Omit<Described, 'labels'> & {
      readonly type: 'counter' | 'gauge';
      readonly read: () => Iterable<{ readonly labels: Labels; readonly value: number }>;
    },
  ): void {
    this.#add(described, described.type, (name, common, lines) => {
      for (const { labels, value } of described.read()) {
        lines.push(`${name}${formatLabels({ ...common, ...labels })} ${formatValue(value)}`);
      }
    });
  }

  histogram(described: Described & { readonly bounds?: readonly number[] }): Histogram {
    const histogram = new Histogram(described.bounds ?? LATENCY_BOUNDS_SECONDS);
    this.#add(described, 'histogram', (name, labels, lines) => {
      let cumulative = 0;
      for (let bucket = 0; bucket < histogram.counts.length; bucket++) {
        cumulative += histogram.counts[bucket] as number;
        const bound = histogram.bounds[bucket];
        const le = bound === undefined ? '+Inf' : formatValue(bound);
        lines.push(`${name}_bucket${formatLabels({ ...labels, le })} ${formatValue(cumulative)}`);
      }
      lines.push(`${name}_sum${formatLabels(labels)} ${formatValue(histogram.sum)}`);
      lines.push(`${name}_count${formatLabels(labels)} ${formatValue(cumulative)}`);
    });
    return histogram;
  }

  /** The text of a scrape. */
  render(): string {
    const lines: string[] = [];
    for (const [name, family] of this.#families) {
      lines.push(`# HELP ${name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`);
      lines.push(`# TYPE ${name} ${family.type}`);
      for (const series of family.series) {
        series.write(name, { ...this.#common, ...series.labels }, lines);
      }
    }
    return `${lines.join('\n')}\n`;
  }

  #add({ name, help, labels = {} }: Described, type: MetricType, write: Series['write']): void {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new RangeError(`no metric name: ${name}`);
    let family = this.#families.get(name);
    if (family === undefined) {
      family = { help, type, series: [] };
      this.#families.set(name, family);
    } else if (family.type !== type) {
      throw new RangeError(`${name} is a ${family.type} already`);
    }
    const key = formatLabels(labels);
    if (family.series.some((series) => formatLabels(series.labels) === key)) {
      throw new RangeError(`${name}${key} exists already`);
    }
    family.series.push({ labels, write });
  }
}

const writeValue =
  (read: () => number | null): Series['write'] =>
  (name, labels, lines) => {
    const value = read();
    if (value !== null) lines.push(`${name}${formatLabels(labels)} ${formatValue(value)}`);
  };

const formatValue = (value: number): string => {
  if (value === Infinity) return '+Inf';
  if (value === -Infinity) return '-Inf';
  return Number.isNaN(value) ? 'NaN' : String(value);
};

const formatLabels = (labels: Labels): string => {
  const pairs = Object.entries(labels).map(([name, value]) => {
    const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
    return `${name}="${escaped}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
};
