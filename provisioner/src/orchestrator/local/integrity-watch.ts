import type { IntegrityView } from '../orchestrator.ts';
import { controlGet } from './control-client.ts';
import { damageText, parseReplicaDamage, type ReplicaDamage } from './replica-damage.ts';
import type { SupervisedProcess } from './supervised-process.ts';
import { integrityEvents } from './volume-integrity.ts';
import type { RunnerEvent } from './volume-runner.ts';

/** Tells as events what is found wrong with the data of one volume, each thing once. */
export class IntegrityWatch {
  readonly #emit: (event: RunnerEvent) => void;
  readonly #damage = new Map<string, ReplicaDamage>();
  #integrity: IntegrityView | null = null;

  constructor(emit: (event: RunnerEvent) => void) {
    this.#emit = emit;
  }

  /** What the target says; null while it does not answer. */
  seen(integrity: IntegrityView | null): void {
    for (const event of integrityEvents(this.#integrity, integrity)) this.#emit(event);
    this.#integrity = integrity ?? this.#integrity;
  }

  /** A replica survives damage of its own files; its target does not know of it. */
  async askReplica(name: string, { status, controlSocket }: SupervisedProcess): Promise<void> {
    if (status !== 'running') return;
    const answer = await controlGet(controlSocket, '/v1/status').catch(() => null);
    const damage = answer?.status === 200 ? parseReplicaDamage(answer.body) : null;
    if (damage === null) return;
    const text = damageText(this.#damage.get(name) ?? null, damage);
    this.#damage.set(name, damage);
    if (text !== null) {
      this.#emit({ kind: 'integrity', severity: 'warning', message: `${name}: ${text}` });
    }
  }
}
