import assert from 'node:assert';

/**
 * Where one replica stands, as its target sees it.
 *
 *   offline -> dialling -> greeted -> promising -> promised -> syncing -> joining -> in-sync
 *                                                                 `--(activation)-->'
 *   any state -> offline
 *
 * Only `in-sync` members serve reads. `joining`: it holds everything; from now on writes wait for
 * it; the record that names it is on its way. `promised`: it votes, and waits to be resynchronised
 * (a witness stays there).
 */
export type MemberState =
  | { readonly kind: 'offline'; readonly since: number; readonly reason: string }
  | { readonly kind: 'dialling' }
  | { readonly kind: 'greeted' }
  | { readonly kind: 'promising' }
  | { readonly kind: 'promised' }
  | { readonly kind: 'syncing' }
  /** `ready`: it has acknowledged and flushed all that it missed, so that a record may name it. */
  | { readonly kind: 'joining'; readonly ready: boolean }
  | { readonly kind: 'in-sync' };

type Kind = MemberState['kind'];

const NEXT: Readonly<Record<Kind, readonly Kind[]>> = {
  offline: ['dialling', 'offline'],
  dialling: ['greeted', 'offline'],
  greeted: ['promising', 'offline'],
  promising: ['promised', 'offline'],
  promised: ['syncing', 'offline'],
  syncing: ['joining', 'in-sync', 'offline'],
  joining: ['joining', 'in-sync', 'offline'],
  'in-sync': ['offline'],
};

export const isTransitionValid = (from: Kind, to: Kind): boolean => NEXT[from].includes(to);

export const transition = (from: MemberState, to: MemberState): MemberState => {
  assert(isTransitionValid(from.kind, to.kind), `a member went from ${from.kind} to ${to.kind}`);
  return to;
};

/** It has promised and is connected: its vote counts. */
export const isVoting = ({ kind }: MemberState): boolean =>
  kind === 'promised' || kind === 'syncing' || kind === 'joining' || kind === 'in-sync';

/** It takes the stream of writes. */
export const isStreaming = ({ kind }: MemberState): boolean =>
  kind === 'syncing' || kind === 'joining' || kind === 'in-sync';

/** Consecutive ticks, one each second, without progress although there is work. */
export const STALL_TICKS = 10;

export interface Liveness {
  /** Work under way: unacknowledged operations of the stream, and requests. */
  readonly busy: boolean;
  /** Counts every acknowledgement and every answer. */
  readonly progress: number;
  readonly pingUnanswered: boolean;
}

export interface Watch {
  readonly progress: number;
  readonly stalledTicks: number;
  readonly silentTicks: number;
}

export const FRESH_WATCH: Watch = { progress: 0, stalledTicks: 0, silentTicks: 0 };

/**
 * Progress counts, not speed: a member that is slow but moves stays. Ticks are counted, not time: a
 * pause of this process is nobody's fault.
 */
export const watchStep = (
  watch: Watch,
  now: Liveness,
): { readonly watch: Watch; readonly failed: string | null } => {
  const stalledTicks = now.busy && now.progress === watch.progress ? watch.stalledTicks + 1 : 0;
  const silentTicks = now.pingUnanswered ? watch.silentTicks + 1 : 0;
  let failed: string | null = null;
  if (stalledTicks >= STALL_TICKS) failed = `made no progress for ${STALL_TICKS} s`;
  else if (silentTicks >= STALL_TICKS) failed = `answered no ping for ${STALL_TICKS} s`;
  return { watch: { progress: now.progress, stalledTicks, silentTicks }, failed };
};

/**
 * Milliseconds until the next attempt: doubling, with jitter so that members do not come in step.
 */
export const backoffMs = (attempts: number, random: number): number =>
  Math.min(5_000, 100 * 2 ** Math.min(attempts, 10)) * (0.5 + random);
