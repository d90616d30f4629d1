import { orNull, type KubeApi } from '../kubernetes/kube-api.ts';
import { sleep, type Clock } from '../kubernetes/clock.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import type { VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import type { VolumeResource } from '../orchestrator/kubernetes/volume-resource.ts';
import { CLAIMS, VOLUMES, type PersistentVolume } from './contract.ts';

/** A volume that was just made has a record before it has a PersistentVolume. */
const GRACE_MS = 60_000;
const PERIOD_MS = 300_000;

/**
 * Volumes whose claim went while they were made: a record, perhaps objects, and neither a claim of
 * that uid nor a PersistentVolume. They are found by their record, which is made first and removed
 * last, at the start and then every few minutes, and go after a time of grace.
 */
export class Collector {
  readonly #api: KubeApi;
  readonly #clock: Clock;
  readonly #records: Reflector<VolumeResource>;
  readonly #volumes: Reflector<PersistentVolume>;
  readonly #objects: VolumeObjects;
  readonly #log: (level: 'info' | 'warn', fields: object, message: string) => void;
  readonly #suspects = new Map<string, number>();

  constructor(options: {
    readonly api: KubeApi;
    readonly clock: Clock;
    readonly records: Reflector<VolumeResource>;
    readonly volumes: Reflector<PersistentVolume>;
    readonly objects: VolumeObjects;
    readonly log: (level: 'info' | 'warn', fields: object, message: string) => void;
  }) {
    this.#api = options.api;
    this.#clock = options.clock;
    this.#records = options.records;
    this.#volumes = options.volumes;
    this.#objects = options.objects;
    this.#log = options.log;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const record of [...this.#records.values()]) {
        try {
          await this.#look(record);
        } catch (error) {
          const fields = { volume: record.metadata.name, reason: String(error) };
          this.#log(
            'warn',
            fields,
            'an abandoned volume could not be collected; it is tried again',
          );
        }
      }
      await sleep(this.#clock, this.#suspects.size > 0 ? GRACE_MS : PERIOD_MS, signal);
    }
  }

  async #look(record: VolumeResource): Promise<void> {
    const { name, uid = '' } = record.metadata;
    if (!(await this.#isAbandoned(record))) {
      this.#suspects.delete(uid);
      return;
    }
    const since = this.#suspects.get(uid);
    const now = this.#clock.now();
    if (since === undefined) {
      this.#suspects.set(uid, now);
      return;
    }
    if (now - since < GRACE_MS) return;
    this.#log('info', { volume: name }, 'collecting a volume whose claim went before it was whole');
    await this.#objects.remove(name, (node) =>
      this.#log('warn', { volume: name, node }, 'a copy went with its node'),
    );
    this.#suspects.delete(uid);
  }

  /**
   * Whoever has a PersistentVolume by what is known is left until the next time; the others are
   * decided about by live reads, as what is known may be behind.
   */
  async #isAbandoned({ metadata, spec }: VolumeResource): Promise<boolean> {
    const { claimRef } = spec;
    // Made by a person, not for a claim.
    if (claimRef === undefined || this.#volumes.get(metadata.name) !== undefined) return false;
    const volume = await this.#api.get(VOLUMES, { name: metadata.name }).catch(orNull);
    if (volume !== null) return false;
    const claim = await this.#api.get(CLAIMS, claimRef).catch(orNull);
    return claim?.metadata.uid !== claimRef.uid;
  }
}
