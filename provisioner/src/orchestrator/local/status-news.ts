import type { VolumeEvent, VolumeView } from '../orchestrator.ts';

/** What is worth an event of all that a volume's views say, one after the other. */
export class StatusNews {
  #told = '';

  /** Null: nothing that was not said before. */
  of(view: VolumeView): Omit<VolumeEvent, 'volume' | 'status'> | null {
    // Who is in sync is no news, and goes without any: the words below would be the same.
    const behind = view.replicas
      .filter(({ mode }) => mode !== 'in-sync')
      .map(({ index, mode }) => `${index} ${mode}`);
    const key = [view.status, view.inSyncCount, view.replicaCount, ...behind].join(' ');
    if (key === this.#told) return null;
    if (this.#told === '' && view.status === 'starting') return null;
    this.#told = key;
    const counts = `${view.inSyncCount} of ${view.replicaCount} replicas in sync`;
    return {
      kind: 'status',
      severity: view.status === 'healthy' || view.status === 'starting' ? 'info' : 'warning',
      message: `${view.status}, ${counts}${view.reason === null ? '' : `: ${view.reason}`}`,
    };
  }
}
