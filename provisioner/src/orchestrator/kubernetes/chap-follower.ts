import type { Clock } from '../../kubernetes/clock.ts';
import type { TargetStatus } from '../local/target-status.ts';
import { ChapSecretUnfit, type ChapSecretContent, type ChapSecrets } from './chap-secrets.ts';
import { targetOf, type Targets } from './targets.ts';
import type { ChapInForce, SecretReference, VolumeResource } from './volume-resource.ts';

/**
 * An initiator that lost its target comes back with what it knew, for 120 s (open-iscsi's
 * replacement_timeout); then its I/O has failed.
 */
const QUIET_MS = 150_000;

export interface ChapState {
  /** Who may log in, as far as is known; null: everybody, or nobody has said. */
  readonly inForce: ChapInForce | null;
  /** Why that is not what the Secret says; null: it is. */
  readonly problem: string | null;
  /** The target was given what the Secret says now. */
  readonly ordered: boolean;
}

/**
 * Brings what the Secret of a volume says into force. An initiator that is logged in knows the
 * credentials of then, and comes back by them when its target moves: a change waits until none has
 * been logged in for a while, with a target to log in to, so that nobody at work is locked out.
 */
export class ChapFollower {
  readonly #secrets: ChapSecrets;
  readonly #targets: Targets;
  readonly #clock: Clock;
  /** By volume, when somebody was seen logged in, or when nothing was known. */
  readonly #busyAt = new Map<string, number>();
  /** Volumes whose target was away since somebody may have been logged in. */
  readonly #silent = new Set<string>();
  /** By volume, which version of its Secret the target was given; its status may say it later. */
  readonly #given = new Map<string, string>();

  constructor(options: {
    readonly secrets: ChapSecrets;
    readonly targets: Targets;
    readonly clock: Clock;
  }) {
    this.#secrets = options.secrets;
    this.#targets = options.targets;
    this.#clock = options.clock;
  }

  forget(volume: string): void {
    this.#busyAt.delete(volume);
    this.#silent.delete(volume);
    this.#given.delete(volume);
  }

  /** `target`: what it has just said; null: it does not answer. */
  async step(record: VolumeResource, target: TargetStatus | null): Promise<ChapState> {
    const { name } = record.metadata;
    const inForce = present(record, target, this.#given.get(name));
    const { chapSecretRef } = record.spec;
    if (chapSecretRef === undefined) return { inForce, problem: null, ordered: false };
    this.#note(record, target);
    let content: ChapSecretContent;
    try {
      content = this.#secrets.read(chapSecretRef);
    } catch (error) {
      if (!(error instanceof ChapSecretUnfit)) throw error;
      const problem = `${error.message} The credentials that counted before still do.`;
      return { inForce, problem, ordered: false };
    }
    if (content.version === inForce?.secretVersion) {
      return { inForce, problem: null, ordered: false };
    }
    const words = wordsOf(chapSecretRef);
    const isFirst = inForce?.secretVersion === undefined;
    const hindrance = this.#hindrance(name, target, words, isFirst);
    const problem = hindrance ?? (await this.#order(record, content));
    if (problem !== null) return { inForce, problem, ordered: false };
    this.#given.set(name, content.version);
    const { user, mutualUser } = content.chap;
    const mutual = mutualUser === null ? {} : { mutualUser };
    const now = { user, ...mutual, secretVersion: content.version };
    return { inForce: now, problem: null, ordered: true };
  }

  #note({ metadata, status }: VolumeResource, target: TargetStatus | null): void {
    const { name } = metadata;
    const now = this.#clock.now();
    // What the record says was seen by who led before; where it does not say, be careful.
    const wasBusy = status !== undefined && status.sessions !== 0;
    if (!this.#busyAt.has(name)) this.#busyAt.set(name, wasBusy ? now : -Infinity);
    if (target?.settings == null) {
      if (!this.#isQuiet(name)) this.#silent.add(name);
    } else if (this.#silent.delete(name) || target.sessions.length > 0) {
      this.#busyAt.set(name, now);
    }
  }

  #isQuiet(name: string): boolean {
    return this.#clock.now() - (this.#busyAt.get(name) ?? -Infinity) >= QUIET_MS;
  }

  #hindrance(
    name: string,
    target: TargetStatus | null,
    words: string,
    isFirst: boolean,
  ): string | null {
    if (target?.settings == null) return `the target does not say whether ${words} counts`;
    // Which content of the Secret counts is not known: perhaps it is this one.
    if (isFirst || this.#isQuiet(name)) return null;
    return `${words} has changed; it counts when no initiator has been logged in for ${QUIET_MS / 1000} s, and until then what it said before: the pods that use the volume go on, others wait`;
  }

  /** Why it is not done; null: it is. */
  async #order(record: VolumeResource, { chap }: ChapSecretContent): Promise<string | null> {
    const { address } = targetOf(record);
    if (address === null) return 'the target has no address yet';
    try {
      return await this.#targets.order(address, '/v1/settings', { chap });
    } catch (error) {
      return `the target does not answer (${(error as Error).message})`;
    }
  }
}

/** In the words of the target, where it answers. */
const present = (
  { status }: VolumeResource,
  target: TargetStatus | null,
  given: string | undefined,
): ChapInForce | null => {
  const told = status?.chap ?? null;
  if (target?.settings == null) return told;
  const { chap } = target.settings;
  if (chap === null) return null;
  const secretVersion = given ?? told?.secretVersion;
  return {
    user: chap.user,
    ...(chap.mutualUser === null ? {} : { mutualUser: chap.mutualUser }),
    ...(secretVersion === undefined ? {} : { secretVersion }),
  };
};

const wordsOf = ({ namespace, name }: SecretReference): string => `Secret ${namespace}/${name}`;
