import type { IntegrityView, ScrubView } from '../orchestrator.ts';
import type { RunnerEvent } from './volume-runner.ts';

/** The part of a target's status about the soundness of what is stored; null where it has none. */
export function integrityOf(value: unknown): IntegrityView | null {
  if (!isObject(value)) return null;
  const { lastProblem } = value;
  return {
    checksumErrors: countOf(value['checksumErrors']),
    repairedBlocks: countOf(value['repairedBlocks']),
    divergentBlocks: countOf(value['divergentBlocks']),
    lostBlocks: countOf(value['lostBlocks']),
    lastProblem: typeof lastProblem === 'string' ? lastProblem : null,
    scrub: scrubOf(value['scrub']),
  };
}

export function scrubOf(value: unknown): ScrubView | null {
  if (!isObject(value)) return null;
  const { state } = value;
  const time = (name: string): string | null => {
    const text = value[name];
    return typeof text === 'string' ? text : null;
  };
  return {
    state: state === 'running' || state === 'waiting' ? state : 'idle',
    percent: countOf(value['percent']),
    bytesPerSecond: countOf(value['bytesPerSecond']),
    etaSeconds: typeof value['etaSeconds'] === 'number' ? value['etaSeconds'] : null,
    startedAt: time('startedAt'),
    badBlocks: countOf(value['badBlocks']),
    divergentBlocks: countOf(value['divergentBlocks']),
    lastCompletedAt: time('lastCompletedAt'),
    nextAt: time('nextAt'),
  };
}

/**
 * What has happened since the target was asked before. A target that was started anew counts from
 * zero again.
 */
export function integrityEvents(
  before: IntegrityView | null,
  now: IntegrityView | null,
): RunnerEvent[] {
  if (now === null) return [];
  const events: RunnerEvent[] = [];
  const add = (message: string): void => {
    events.push({ kind: 'integrity', severity: 'warning', message });
  };
  const more = (
    count: 'checksumErrors' | 'repairedBlocks' | 'divergentBlocks' | 'lostBlocks',
  ): number => {
    const was = before?.[count] ?? 0;
    return now[count] >= was ? now[count] - was : now[count];
  };
  const found = more('checksumErrors');
  if (found > 0) add(`bad copies of blocks: ${found}; the last one: ${now.lastProblem ?? ''}`);
  const repaired = more('repairedBlocks');
  if (repaired > 0) add(`blocks repaired from a good copy: ${repaired}`);
  const divergent = more('divergentBlocks');
  if (divergent > 0) {
    add(`replicas differed in ${divergent} blocks and were made equal: ${now.lastProblem ?? ''}`);
  }
  if (now.lostBlocks > (before?.lostBlocks ?? 0)) {
    add(
      `blocks of which no replica has a good copy: ${now.lostBlocks}; restore them from a backup`,
    );
  }
  return events;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;
}
