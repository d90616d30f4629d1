import type { Reflector } from '../../kubernetes/reflector.ts';
import { runningMembers } from './members.ts';
import type { VolumeResource } from './volume-resource.ts';

/**
 * How many members each node has, by the records: counted where a record changes, so that placing
 * one more volume costs the same however many there are.
 */
export class CopyIndex {
  readonly #copies = new Map<string, number>();

  constructor(records: Reflector<VolumeResource>) {
    records.onChange((before, after) => {
      if (before !== null) this.#count(before, -1);
      if (after !== null) this.#count(after, 1);
    });
  }

  /** By name of the node; one that is missing has none. */
  get byNode(): ReadonlyMap<string, number> {
    return this.#copies;
  }

  #count(record: VolumeResource, by: 1 | -1): void {
    for (const { node } of runningMembers(record)) {
      const count = (this.#copies.get(node) ?? 0) + by;
      if (count === 0) this.#copies.delete(node);
      else this.#copies.set(node, count);
    }
  }
}
