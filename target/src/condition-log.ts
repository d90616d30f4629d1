import { reasonOf, nextOf, volumeAccess, volumeState } from './condition.ts';
import type { Access, VolumeState } from './condition.ts';
import type { TargetFacts } from './facts.ts';
import type { Member } from './replicator/index.ts';

export interface Condition {
  readonly state: VolumeState;
  readonly access: Access;
  /** When state and access became what they are. */
  readonly since: string;
  readonly reason: string | null;
  readonly next: string | null;
}

interface Began {
  readonly what: string;
  readonly atMs: number;
}

/**
 * Since when the volume and each of its members are what they are. Told of every change, so that
 * the time is that of the change and not of the question.
 */
export class ConditionLog {
  readonly #facts: TargetFacts;
  readonly #wallNow: () => number;
  readonly #members = new WeakMap<Member, Began>();
  #volume: Began | null = null;

  constructor(facts: TargetFacts, wallNow: () => number) {
    this.#facts = facts;
    this.#wallNow = wallNow;
  }

  /** Something may have changed. */
  note(): void {
    const { replicator } = this.#facts;
    const nowMs = this.#wallNow();
    this.#volume = begun(this.#volume, `${this.#state} ${this.#access}`, nowMs);
    if (replicator === null) return;
    const { assembly } = replicator;
    for (const member of assembly.members) {
      const mode = assembly.modeOf(member);
      this.#members.set(member, begun(this.#members.get(member) ?? null, mode, nowMs));
    }
  }

  now(): Condition {
    this.note();
    const sinceMs = this.sinceMs;
    const { replicator } = this.#facts;
    const isHeld = this.#access === 'waiting' && replicator !== null;
    const heldUntil = isHeld ? new Date(sinceMs + replicator.holdMs) : null;
    return {
      state: this.#state,
      access: this.#access,
      since: new Date(sinceMs).toISOString(),
      reason: reasonOf(this.#facts),
      next: nextOf(this.#facts, heldUntil),
    };
  }

  /** Milliseconds since the epoch of UNIX. */
  get sinceMs(): number {
    return this.#volume?.atMs ?? this.#wallNow();
  }

  memberSince(member: Member): string {
    return new Date(this.#members.get(member)?.atMs ?? this.#wallNow()).toISOString();
  }

  get #state(): VolumeState {
    return volumeState(this.#facts);
  }

  get #access(): Access {
    return volumeAccess(this.#facts);
  }
}

const begun = (before: Began | null, what: string, nowMs: number): Began =>
  before?.what === what ? before : { what, atMs: nowMs };
