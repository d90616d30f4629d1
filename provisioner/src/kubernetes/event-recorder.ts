import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { KubeError, type KubeApi } from './kube-api.ts';
import { resource, type KubeObject } from './objects.ts';
import type { Clock } from './clock.ts';

interface EventObject extends KubeObject {
  readonly involvedObject: object;
  readonly reason: string;
  readonly message: string;
  readonly type: 'Normal' | 'Warning';
  readonly count: number;
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
  readonly source: { readonly component: string };
  readonly reportingComponent: string;
  readonly reportingInstance: string;
}

const EVENTS = resource<EventObject>('v1', 'Event', 'events', true);

const MAX_MESSAGE_CHARACTERS = 1024;
const REMEMBERED = 4096;
/** As client-go's spam filter: 25 at once for one object, then one in five minutes. */
const BURST = 25;
const REFILL_MS = 300_000;

interface Sent {
  readonly name: string;
  readonly namespace: string;
  count: number;
}

interface Bucket {
  tokens: number;
  filledMs: number;
}

/**
 * Tells people through events, as client-go's EventRecorder with its correlator: the same event on
 * the same object is counted, not repeated, and a storm on one object is cut off. An event that
 * cannot be written is logged and forgotten: nothing waits for it.
 */
export class EventRecorder {
  readonly #api: KubeApi;
  readonly #component: string;
  readonly #instance: string;
  readonly #clock: Clock;
  readonly #wallClock: () => Date;
  readonly #log: (fields: object, message: string) => void;
  readonly #sent = new LRUCache<string, Sent>({ max: REMEMBERED });
  readonly #buckets = new LRUCache<string, Bucket>({ max: REMEMBERED });
  #last: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly api: KubeApi;
    readonly component: string;
    readonly instance: string;
    readonly clock: Clock;
    readonly wallClock: () => Date;
    readonly log: (fields: object, message: string) => void;
  }) {
    this.#api = options.api;
    this.#component = options.component;
    this.#instance = options.instance;
    this.#clock = options.clock;
    this.#wallClock = options.wallClock;
    this.#log = options.log;
  }

  event(about: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const text =
      message.length > MAX_MESSAGE_CHARACTERS
        ? `${message.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…`
        : message;
    const uid = about.metadata.uid ?? '';
    if (!this.#take(uid)) return;
    // One after the other, so that a count never overtakes the event that it counts.
    this.#last = this.#last.then(() => this.#write(about, type, reason, text));
  }

  /** Resolves when everything recorded until now was written or given up. */
  settled(): Promise<void> {
    return this.#last;
  }

  #take(uid: string): boolean {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(uid) ?? { tokens: BURST, filledMs: now };
    const refills = Math.floor((now - bucket.filledMs) / REFILL_MS);
    bucket.tokens = Math.min(BURST, bucket.tokens + refills);
    bucket.filledMs += refills * REFILL_MS;
    this.#buckets.set(uid, bucket);
    if (bucket.tokens === 0) return false;
    bucket.tokens--;
    return true;
  }

  async #write(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
  ): Promise<void> {
    const { apiVersion, kind, metadata } = about;
    const { name, namespace = 'default', uid = '', resourceVersion } = metadata;
    const key = createHash('sha256')
      .update([kind, namespace, name, uid, type, reason, message].join('\0'))
      .digest('hex');
    const now = this.#wallClock()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z');
    try {
      const known = this.#sent.get(key);
      if (known !== undefined && (await this.#count(known, now))) return;
      const event: EventObject = {
        apiVersion: EVENTS.apiVersion,
        kind: EVENTS.kind,
        metadata: { namespace, name: `${name.slice(0, 200)}.${key.slice(0, 16)}${suffix()}` },
        involvedObject: {
          apiVersion,
          kind,
          namespace: metadata.namespace,
          name,
          uid,
          resourceVersion,
        },
        reason,
        message,
        type,
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        source: { component: this.#component },
        reportingComponent: this.#component,
        reportingInstance: this.#instance,
      };
      await this.#api.create(EVENTS, event);
      this.#sent.set(key, { name: event.metadata.name, namespace, count: 1 });
    } catch (error) {
      this.#log({ kind, name, reason, cause: String(error) }, 'an event could not be written');
    }
  }

  /** False: the event is gone (they expire); it is to be written anew. */
  async #count(known: Sent, now: string): Promise<boolean> {
    known.count++;
    try {
      await this.#api.patch(EVENTS, known, [
        { op: 'replace', path: '/count', value: known.count },
        { op: 'replace', path: '/lastTimestamp', value: now },
      ]);
      return true;
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return false;
      throw error;
    }
  }
}

/** Not the same after a restart, when the event before may still be there. */
const suffix = (): string => randomBytes(4).toString('hex');
