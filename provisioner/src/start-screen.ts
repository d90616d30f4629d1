import { wrap } from './wrap.ts';
import type { DamagedVolume, VolumeView } from './orchestrator/orchestrator.ts';

export interface StartFacts {
  readonly apiUrl: string;
  readonly wantedApiPort: number;
  readonly wantedIscsiPort: number;
  readonly dataDirectory: string;
  readonly isDefaultDirectory: boolean;
  readonly volumes: readonly VolumeView[];
  /** What is not as it was. */
  readonly notes: readonly string[];
  readonly damaged: readonly DamagedVolume[];
}

/** Volumes shown one by one; more are counted, so that it stays one screen. */
const SHOWN_VOLUMES = 8;

/** What was started and what to do next, for 80 columns and one screen. */
export function startScreen(facts: StartFacts): string {
  const lines = ['', `API server  ${facts.apiUrl}${portNote(facts)}`];
  for (const volume of facts.volumes.slice(0, SHOWN_VOLUMES)) lines.push(...volumeLines(volume));
  const more = facts.volumes.length - SHOWN_VOLUMES;
  if (more > 0) lines.push(`            and ${more} more: ${mayactl(facts)} volume list`);
  if (facts.volumes.length === 0) lines.push('volumes     none yet');
  for (const damaged of facts.damaged) {
    const words = `${damaged.reason}; ${damaged.next}`;
    lines.push(
      `damaged     volume ${damaged.name} is not served: ${damaged.file}`,
      wrap(words, { width: 80, indent: ' '.repeat(12) }),
    );
  }
  for (const note of [...facts.notes, ...busyPortNote(facts)]) {
    lines.push(`note        ${wrap(note, { width: 80, indent: ' '.repeat(12) }).trimStart()}`);
  }
  lines.push('', ...nextLines(facts));
  lines.push(
    `data        ${facts.dataDirectory}`,
    '            Ctrl-C stops everything and keeps the data',
    '',
  );
  return lines.join('\n');
}

function volumeLines(volume: VolumeView): string[] {
  const { name, sizeText, inSyncCount, replicaCount, iqn, portal, status, reason } = volume;
  const state = status === 'healthy' ? '' : ` (${status})`;
  const lines = [
    `volume      ${name}  ${sizeText}, ${inSyncCount} of ${replicaCount} replicas in sync${state}`,
    `            ${iqn} at ${portal}`,
  ];
  if (reason !== null) lines.push(wrap(reason, { width: 80, indent: ' '.repeat(12) }));
  return lines;
}

function nextLines(facts: StartFacts): string[] {
  const command = mayactl(facts);
  const first = facts.volumes[0]?.name;
  if (first === undefined) {
    return [
      `next        ${command} volume create NAME --size 1GiB --replicas 3`,
      `            ${command} doctor`,
    ];
  }
  return [
    `next        ${command} volume connect ${first}`,
    `            ${command} volume info ${first}`,
    `            ${command} volume create NAME --size 1GiB --replicas 3`,
  ];
}

function mayactl({ isDefaultDirectory, dataDirectory }: StartFacts): string {
  return isDefaultDirectory ? 'npx mayactl' : `npx mayactl --data-dir ${dataDirectory}`;
}

function portNote({ apiUrl, wantedApiPort }: StartFacts): string {
  if (wantedApiPort === 0 || apiUrl.endsWith(`:${wantedApiPort}`)) return '';
  return `  (port ${wantedApiPort} is busy)`;
}

/** Said where no volume has the port that was asked for, which initiators expect. */
function busyPortNote({ wantedIscsiPort, volumes, notes }: StartFacts): string[] {
  if (wantedIscsiPort === 0 || volumes.length === 0 || notes.length > 0) return [];
  const isThere = volumes.some(({ portal }) => portal.endsWith(`:${wantedIscsiPort}`));
  return isThere ? [] : [`port ${wantedIscsiPort} was busy when the portal was chosen`];
}
