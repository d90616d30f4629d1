import { resolve } from 'node:path';
import { defaultDataDirectory } from '../../server-file.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { paintStatus, structured } from '../output.ts';
import { counted, wrap } from '../../wrap.ts';
import type { Finding } from './finding.ts';
import { Host } from './host.ts';
import { hostChecks } from './host-checks.ts';
import { iscsiChecks } from './iscsi-checks.ts';
import { systemChecks } from './system-checks.ts';

/** Exit code 1 with an error among the findings; warnings are for the reader. */
export async function doctor(context: CliContext): Promise<number> {
  const findings = await findingsOf(context);
  const troubled = findings.filter(({ status }) => status !== 'ok');
  const text = await structured(
    context.options.output,
    findings,
    troubled.map(({ check }) => check),
  );
  context.out(text ?? findingsText(findings, context.color));
  return findings.some(({ status }) => status === 'error') ? EXIT.error : EXIT.ok;
}

export async function findingsOf(context: CliContext): Promise<readonly Finding[]> {
  const host = new Host();
  const dataDirectory = resolve(context.options.dataDir ?? defaultDataDirectory());
  return [
    ...hostChecks(host, dataDirectory),
    ...iscsiChecks(host),
    ...(await systemChecks(() => context.client())),
  ];
}

const MARK = { ok: 'ok', warning: 'warning', error: 'error' } as const;

export function findingsText(findings: readonly Finding[], color: boolean): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const indent = ' '.repeat(9 + width + 2);
  const lines = findings.map(({ check, status, detail, fix }) => {
    const mark = paintStatus(MARK[status], color) + ' '.repeat(9 - status.length);
    const words = wrap(detail, { width: 80, indent }).trimStart();
    // A command is never broken: it is there to be copied.
    const remedy = fix === null ? '' : `\n         fix: ${fix}`;
    return `${mark}${check.padEnd(width + 2)}${words}${remedy}`;
  });
  const warnings = findings.filter(({ status }) => status === 'warning').length;
  const errors = findings.filter(({ status }) => status === 'error').length;
  const verdict =
    warnings + errors === 0
      ? 'All is well.'
      : `${counted(errors, 'error')}, ${counted(warnings, 'warning')}.`;
  return `${lines.join('\n')}\n\n${verdict}\n`;
}
