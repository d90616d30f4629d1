import type { VolumeView } from '../orchestrator/orchestrator.ts';

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml' | 'name';
export const OUTPUT_FORMATS: readonly OutputFormat[] = ['table', 'wide', 'json', 'yaml', 'name'];

/** https://no-color.org: any value but the empty one. */
export function colorAllowed(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
}

const COLORS = { green: 32, yellow: 33, red: 31, dim: 2, bold: 1 } as const;

export function paint(text: string, color: keyof typeof COLORS, enabled: boolean): string {
  return enabled ? `\u001b[${COLORS[color]}m${text}\u001b[0m` : text;
}

/** Color besides the word, never instead of it. */
export function paintStatus(status: string, enabled: boolean): string {
  switch (status) {
    case 'healthy':
    case 'running':
    case 'ok':
      return paint(status, 'green', enabled);
    case 'degraded':
    case 'starting':
    case 'restarting':
    case 'deleting':
    case 'warning':
      return paint(status, 'yellow', enabled);
    case 'unavailable':
    case 'stopped':
    case 'error':
      return paint(status, 'red', enabled);
    default:
      return status;
  }
}

const ESCAPES = new RegExp(String.raw`${String.fromCharCode(27)}\[\d+m`, 'g');

function widthOf(text: string): number {
  return text.replace(ESCAPES, '').length;
}

/** Columns as wide as their widest cell, two spaces between, none at a line's end. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) =>
    Math.max(...all.map((row) => widthOf(row[column] ?? ''))),
  );
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell) + 2))
      .join('')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** `Label : value`, as the original shows one volume. */
export function fields(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([label]) => label.length));
  return pairs.map(([label, value]) => `${label.padEnd(width)} : ${value}\n`).join('');
}

export async function asYaml(value: unknown): Promise<string> {
  // Loaded only when it is asked for: a command should begin at once.
  const { stringify } = await import('yaml');
  return stringify(value);
}

/** What scripts take; null where the caller draws a table. */
export async function structured(
  format: OutputFormat,
  value: unknown,
  names: readonly string[],
): Promise<string | null> {
  switch (format) {
    case 'json':
      return `${JSON.stringify(value, null, 2)}\n`;
    case 'yaml':
      return asYaml(value);
    case 'name':
      return names.map((name) => `${name}\n`).join('');
    case 'table':
    case 'wide':
      return null;
  }
}

export function capacityOf(volume: Pick<VolumeView, 'sizeText'>): string {
  return volume.sizeText.replace(' ', '');
}
