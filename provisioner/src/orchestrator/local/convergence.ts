import { controlSend } from './control-client.ts';
import { ordersFor } from './orders.ts';
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
 * the target refuses is told once.
 */
export class Convergence {
  readonly #remove: (member: MemberRecord) => Promise<void>;
  readonly #refused: (message: string) => void;
  #running = false;
  #told = '';

  constructor(options: {
    /** The member votes no more. */
    readonly remove: (member: MemberRecord) => Promise<void>;
    readonly refused: (message: string) => void;
  }) {
    this.#remove = options.remove;
    this.#refused = options.refused;
  }

  async run({ record, status, socket, addressOf }: Scene): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      const { replicas, sizeBytes, gone } = ordersFor(record, status, addressOf);
      if (replicas !== null) await this.#order(socket, '/v1/replicas', { replicas });
      if (sizeBytes !== null) await this.#order(socket, '/v1/size', { sizeBytes });
      for (const member of gone) await this.#remove(member);
    } catch (error) {
      this.#tell(error instanceof Error ? error.message : String(error));
    } finally {
      this.#running = false;
    }
  }

  async #order(socket: string, path: string, body: unknown): Promise<void> {
    const timeoutMs = ORDER_TIMEOUT_MS;
    const answer = await controlSend(socket, 'PUT', path, { body, timeoutMs });
    if (answer.status === 200) return;
    this.#tell((JSON.parse(answer.body) as { detail?: string }).detail ?? answer.body);
  }

  #tell(message: string): void {
    if (message !== this.#told) this.#refused(message);
    this.#told = message;
  }
}
