import { randomUUID } from 'node:crypto';
import { MAX_OPERATIONS } from '../limits.ts';
import { Problem, type ProblemDocument } from '../problem.ts';

/** Long work that a 202 answer points to. */
export interface Operation {
  readonly id: string;
  readonly kind:
    | 'volume-create'
    | 'volume-delete'
    | 'volume-scrub'
    | 'volume-change'
    | 'replica-add'
    | 'replica-remove';
  readonly volume: string;
  readonly status: 'running' | 'succeeded' | 'failed';
  readonly percent: number;
  readonly message: string;
  readonly error: ProblemDocument | null;
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

export type Progress = (percent: number, message: string) => void;

/** Operations since the server started; what they did is kept by the volumes themselves. */
export class Operations {
  readonly #operations = new Map<string, Operation>();
  readonly #failed: (operation: Operation) => void;

  constructor(options: { readonly failed: (operation: Operation) => void }) {
    this.#failed = options.failed;
  }

  /** Starts the work; its end is the operation's. */
  begin(
    kind: Operation['kind'],
    volume: string,
    work: (progress: Progress) => Promise<string>,
  ): Operation {
    const id = randomUUID();
    this.#forgetOldest();
    this.#operations.set(id, {
      id,
      kind,
      volume,
      status: 'running',
      percent: 0,
      message: 'begun',
      error: null,
      createdAt: new Date().toISOString(),
      finishedAt: null,
    });
    const progress: Progress = (percent, message) => this.#change(id, { percent, message });
    work(progress).then(
      (message) => this.#finish(id, { status: 'succeeded', percent: 100, message }),
      (error: unknown) => {
        const problem =
          error instanceof Problem
            ? error
            : new Problem('internal', error instanceof Error ? error.message : String(error));
        this.#finish(id, {
          status: 'failed',
          message: problem.message,
          error: problem.toDocument(`/v1/operations/${id}`),
        });
        this.#failed(this.get(id));
      },
    );
    return this.get(id);
  }

  get(id: string): Operation {
    const operation = this.#operations.get(id);
    if (operation === undefined) {
      throw new Problem('operation-not-found', `there is no operation ${id}`, {
        next: 'operations are known until the server stops; look at the volume itself',
      });
    }
    return operation;
  }

  /** Newest first. */
  list(): readonly Operation[] {
    return [...this.#operations.values()].reverse();
  }

  #finish(id: string, change: Partial<Operation>): void {
    this.#change(id, { ...change, finishedAt: new Date().toISOString() });
  }

  #change(id: string, change: Partial<Operation>): void {
    const operation = this.#operations.get(id);
    if (operation !== undefined) this.#operations.set(id, { ...operation, ...change });
  }

  #forgetOldest(): void {
    if (this.#operations.size < MAX_OPERATIONS) return;
    for (const [id, { status }] of this.#operations) {
      if (status === 'running') continue;
      this.#operations.delete(id);
      return;
    }
  }
}
