import type { CheckReport, Finding } from './store/check.ts';
import { checkDirectory } from './store/check.ts';
import { failureOf } from './store/failure.ts';

const CLEAN = 0;
const PROBLEMS = 1;
const USAGE = 2;
const WIDTH = 80;
/** More are counted and not shown; `-o json` has up to a thousand. */
const SHOWN_FINDINGS = 40;
const BLOCK_BYTES = 4096;

const USAGE_TEXT = `Usage: replica check [-o json] DIRECTORY

Verifies the directory of a replica that does not run: the slots of superblock
and activity log, the pages of checksums, the checksum of every block of all
layers, and whether bitmap and holes agree. Takes the lock, changes nothing.

Exit codes: 0 clean, 1 problems were found or the directory cannot be checked,
2 wrong command line.
`;

/** Returns the exit code. */
export const checkCommand = (args: readonly string[]): number => {
  const parsed = parse(args);
  if (parsed === 'help') {
    process.stdout.write(USAGE_TEXT);
    return CLEAN;
  }
  if (parsed === null) {
    process.stderr.write(USAGE_TEXT);
    return USAGE;
  }
  const { directory, asJson } = parsed;
  try {
    const report = checkDirectory(directory);
    process.stdout.write(asJson ? `${JSON.stringify(report, null, 2)}\n` : reportText(report));
    return report.problems === 0 ? CLEAN : PROBLEMS;
  } catch (cause) {
    const error = failureOf(`checking ${directory}`, cause);
    process.stderr.write(`replica: ${error.code}: ${error.message}\n`);
    return PROBLEMS;
  }
};

const parse = (
  args: readonly string[],
): { readonly directory: string; readonly asJson: boolean } | 'help' | null => {
  let asJson = false;
  const directories: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === '-h' || arg === '--help') return 'help';
    if (arg === '-o' || arg === '--output') {
      at += 1;
      if (args[at] !== 'json') return null;
      asJson = true;
    } else if (arg.startsWith('-')) return null;
    else directories.push(arg);
  }
  const [directory] = directories;
  return directory === undefined || directories.length > 1 ? null : { directory, asJson };
};

export const reportText = (report: CheckReport): string => {
  const { identity, clean, slots, layers, findings, problems, notes } = report;
  const lines = [report.directory];
  if (identity !== null) {
    const stop = clean === true ? 'closed in order' : 'not closed in order';
    lines.push(`  volume       ${identity.volumeId}`);
    lines.push(`  replica      ${identity.replicaId}`);
    lines.push(`  role         ${identity.role}, ${identity.sizeBytes} bytes, ${stop}`);
  }
  for (const { file, good, generation } of slots) {
    const newest = generation === null ? '' : `, generation ${generation}`;
    lines.push(`  ${file.padEnd(12)} ${good} of 2 slots good${newest}`);
  }
  for (const layer of layers) {
    const kind = layer.isHead ? 'head' : layer.name === null ? 'frozen' : `"${layer.name}"`;
    const bad = layer.badBlocks + layer.damagedExtents > 0 ? `, ${layer.badBlocks} bad` : '';
    const counts = `${layer.verifiedBlocks} of ${layer.allocatedBlocks} blocks good${bad}`;
    const bytes = layer.allocatedBlocks * BLOCK_BYTES;
    lines.push(`  ${`layer ${layer.id}`.padEnd(12)} ${kind}, ${bytes} bytes, ${counts}`);
  }
  const shown = [...findings].sort(bySeverity).slice(0, SHOWN_FINDINGS);
  if (shown.length > 0) lines.push('');
  for (const finding of shown) lines.push(...findingLines(finding));
  const hidden = problems + notes - shown.length;
  if (hidden > 0) lines.push(`and ${hidden} more; -o json lists up to a thousand`);
  lines.push('', ...outcome(report));
  return `${lines.join('\n')}\n`;
};

const bySeverity = (a: Finding, b: Finding): number =>
  Number(a.severity === 'note') - Number(b.severity === 'note');

const findingLines = ({ severity, place, message }: Finding): string[] =>
  wrap(`${severity.padEnd(7)}  ${place}: ${message}`, ' '.repeat(9));

const outcome = ({ problems, layers }: CheckReport): string[] => {
  if (problems === 0) return ['The copy is clean.'];
  const words = problems === 1 ? '1 problem.' : `${problems} problems.`;
  const inBlocks = layers.some(({ badBlocks, damagedExtents }) => badBlocks + damagedExtents > 0);
  const next = inBlocks
    ? 'Start the replica with its target and run: mayactl volume scrub NAME --watch; bad blocks are written again from the other replicas. With no other replica, restore them from a backup.'
    : 'A slot is written again when the replica starts. What is worse is rebuilt from another replica in an empty directory.';
  return [words, ...wrap(`next: ${next}`, '  ')];
};

/** At spaces, to 80 columns. */
const wrap = (text: string, indent: string): string[] => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ (?! )/)) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = `${indent}${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
};
