/**
 * The Prometheus text format (0.0.4), as far as it takes to put several daemons' answers into one.
 */
export interface MetricSource {
  /** Given to every sample, instead of what the daemon calls itself. */
  readonly labels: Readonly<Record<string, string>>;
  /** Values of labels that have a better name here. */
  readonly names?: Readonly<Record<string, string>>;
  readonly text: string;
}

interface Family {
  help: string | null;
  type: string | null;
  /** By name and labels: two values for one series would spoil the whole scrape. */
  readonly samples: Map<string, string>;
}

/** `name{labels} value`; the labels may hold escaped quotes and braces inside quotes. */
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+(?:\s+-?\d+)?)$/;
const LABEL = /([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"/g;

/**
 * One text of all sources: each sample gets its source's labels, each family one HELP and TYPE. Of
 * a series that several sources tell, the first one's value counts.
 */
export function mergeMetrics(sources: readonly MetricSource[]): string {
  const families = new Map<string, Family>();
  for (const source of sources) {
    let current: Family | null = null;
    let currentName = '';
    for (const line of source.text.split('\n')) {
      const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line);
      if (comment !== null) {
        const [, keyword, name = '', rest = ''] = comment;
        current = familyOf(families, name);
        currentName = name;
        if (keyword === 'HELP') current.help ??= rest;
        else current.type ??= rest;
        continue;
      }
      const sample = SAMPLE.exec(line);
      if (sample === null) continue;
      const [, name = '', own = '', value = ''] = sample;
      // A histogram's samples carry suffixes and belong to the family above them.
      const isSuffixed =
        current !== null && new RegExp(`^${currentName}_(bucket|sum|count|total)$`).test(name);
      const family = isSuffixed && current !== null ? current : familyOf(families, name);
      const series = `${name}${labelsOf(own, source)}`;
      if (!family.samples.has(series)) family.samples.set(series, value);
    }
  }
  return [...families].map(([name, family]) => familyText(name, family)).join('');
}

function familyOf(families: Map<string, Family>, name: string): Family {
  let family = families.get(name);
  if (family === undefined) {
    family = { help: null, type: null, samples: new Map() };
    families.set(name, family);
  }
  return family;
}

function familyText(name: string, family: Family): string {
  if (family.samples.size === 0) return '';
  const help = family.help === null ? '' : `# HELP ${name} ${family.help}\n`;
  const type = family.type === null ? '' : `# TYPE ${name} ${family.type}\n`;
  const lines = [...family.samples].map(([series, value]) => `${series} ${value}`);
  return `${help}${type}${lines.join('\n')}\n`;
}

function labelsOf(own: string, { labels, names = {} }: MetricSource): string {
  const given = Object.entries(labels).map(([name, value]) => [name, escapeLabel(value)] as const);
  const kept = [...own.matchAll(LABEL)]
    .map(([, name = '', value = '']) => [name, names[value] ?? value] as const)
    .filter(([name]) => !(name in labels));
  const all = [...given, ...kept].map(([name, value]) => `${name}="${value}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}

export function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
