import { controlSend } from './control-client.ts';
import { DEPARTURES, ordersFor } from './orders.ts';
import type { MemberRecord, VolumeRecord } from './record.ts';
import type { TargetStatus } from './target-status.ts';

/** Growing waits for the slowest replica's disk. */
const ORDER_TIMEOUT_MS = 30_000;

export interface Scene {
  readonly record: VolumeRecord;
  readonly status: TargetStatus;
  /** Of the target's control API. */
  readonly socket: string;
  readonly addressOf: (member: MemberRecord) => string;
}

/**
 * Makes a volume what its record says, as far as it can be made now; called again and again. What
 * the target refuses is told once, and kept until it takes it or nobody wants it any more.
 */
export class Convergence {
  readonly #remove: (member: MemberRecord) => Promise<void>;
  readonly #refused: (message: string) => void;
  #running = false;
  #refusal: string | null = null;

  constructor(options: {
    /** The member votes no more. */
    readonly remove: (member: MemberRecord) => Promise<void>;
    readonly refused: (message: string) => void;
  }) {
    this.#remove = options.remove;
    this.#refused = options.refused;
  }

  /** Why the target does not become what the record says; null: it does, or is. */
  get refusal(): string | null {
    return this.#refusal;
  }

  async run({ record, status, socket, addressOf }: Scene): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      const { replicas, sizeBytes, gone } = ordersFor(record, status, addressOf);
      const refusals = [
        replicas === null ? null : await order(socket, '/v1/replicas', { replicas }),
        sizeBytes === null ? null : await order(socket, '/v1/size', { sizeBytes }),
      ];
      if (gone.length > 0) {
        const refusal = await order(socket, DEPARTURES, { replicaIds: gone.map(({ id }) => id) });
        if (refusal === null) for (const member of gone) await this.#remove(member);
        refusals.push(refusal);
      }
      this.#keep(refusals.find((refusal) => refusal !== null) ?? null);
    } catch (error) {
      this.#keep(error instanceof Error ? error.message : String(error));
    } finally {
      this.#running = false;
    }
  }

  #keep(refusal: string | null): void {
    if (refusal !== null && refusal !== this.#refusal) this.#refused(refusal);
    this.#refusal = refusal;
  }
}

/** Null: it is taken. */
async function order(socket: string, path: string, body: unknown): Promise<string | null> {
  const timeoutMs = ORDER_TIMEOUT_MS;
  const answer = await controlSend(socket, 'PUT', path, { body, timeoutMs });
  if (answer.status === 200) return null;
  return (JSON.parse(answer.body) as { detail?: string }).detail ?? answer.body;
}
