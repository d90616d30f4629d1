import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** As the Go library: up to ten minutes. Seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** By the names of sig-storage-lib-external-provisioner, so that what watches those watches us. */
export class ProvisionerMetrics {
  readonly registry = new Registry();
  readonly #provisioned: Counter<'class'>;
  readonly #provisionFailed: Counter<'class'>;
  readonly #provisionSeconds: Histogram<'class'>;
  readonly #deleted: Counter<'class'>;
  readonly #deleteFailed: Counter<'class'>;
  readonly #deleteSeconds: Histogram<'class'>;
  readonly #calls: Counter<'method' | 'resource' | 'status'>;

  constructor(facts: { readonly leads: () => boolean; readonly queued: () => number }) {
    const registers = [this.registry];
    const counter = (name: string, help: string): Counter<'class'> =>
      new Counter({ name, help, labelNames: ['class'], registers });
    const histogram = (name: string, help: string): Histogram<'class'> =>
      new Histogram({ name, help, labelNames: ['class'], buckets: BUCKETS, registers });
    const claims = 'controller_persistentvolumeclaim_provision';
    const volumes = 'controller_persistentvolume_delete';
    this.#provisioned = counter(`${claims}_total`, 'Volumes provisioned.');
    this.#provisionFailed = counter(`${claims}_failed_total`, 'Attempts that failed.');
    this.#provisionSeconds = histogram(`${claims}_duration_seconds`, 'From the first attempt on.');
    this.#deleted = counter(`${volumes}_total`, 'Volumes deleted.');
    this.#deleteFailed = counter(`${volumes}_failed_total`, 'Attempts that failed.');
    this.#deleteSeconds = histogram(`${volumes}_duration_seconds`, 'Of the last attempt.');
    this.#calls = new Counter({
      name: 'openebs_kubernetes_calls_total',
      help: 'Calls of the Kubernetes API.',
      labelNames: ['method', 'resource', 'status'],
      registers,
    });
    new Gauge({
      name: 'openebs_provisioner_leader',
      help: '1 while this process works, 0 while it stands by.',
      registers,
      collect(): void {
        this.set(facts.leads() ? 1 : 0);
      },
    });
    new Gauge({
      name: 'openebs_provisioner_queue_length',
      help: 'Claims, volumes and records that wait to be looked at.',
      registers,
      collect(): void {
        this.set(facts.queued());
      },
    });
  }

  /** `seconds` null: it failed. */
  provisioned(className: string, seconds: number | null): void {
    const labels = { class: className };
    if (seconds === null) {
      this.#provisionFailed.inc(labels);
      return;
    }
    this.#provisioned.inc(labels);
    this.#provisionSeconds.observe(labels, seconds);
  }

  deleted(className: string, seconds: number | null): void {
    const labels = { class: className };
    if (seconds === null) {
      this.#deleteFailed.inc(labels);
      return;
    }
    this.#deleted.inc(labels);
    this.#deleteSeconds.observe(labels, seconds);
  }

  called({ method, resource, status }: { method: string; resource: string; status: number }): void {
    this.#calls.inc({ method, resource, status: String(status) });
  }
}
