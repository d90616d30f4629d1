import { LAYER_FILE_PATTERN } from '../../replica/src/store/layer-tree.ts';
import type { Cluster } from './cluster.ts';
import type { ReplicaMachine } from './machine.ts';

/** What copies keep that nobody needs, in words; null: nothing. */
export const unmerged = (cluster: Cluster): string | null => {
  for (const machine of cluster.dataMachines) {
    const left = leftOf(machine);
    if (left !== null) return `${left} of ${machine.name}`;
  }
  return null;
};

/**
 * A layer without a name goes into the only one on top of it, unless somebody else has a part in
 * either; files that no layer names are gone.
 */
const leftOf = ({ store, disk }: ReplicaMachine): string | null => {
  if (store === null) return 'everything';
  const { layers } = store.state();
  const files = (id: number): string[] => {
    const stem = String(id).padStart(6, '0');
    return disk.list().filter((name) => LAYER_FILE_PATTERN.test(name) && name.startsWith(stem));
  };
  const isShared = (id: number): boolean => files(id).some((name) => disk.linksOf(name) > 1);
  for (const { id, name } of layers) {
    const above = layers.filter(({ parent }) => parent === id);
    const [upper] = above;
    if (name !== null || upper === undefined || above.length > 1) continue;
    if (!isShared(id) && !isShared(upper.id)) return `layer ${id}`;
  }
  const known = new Set(layers.flatMap(({ id }) => files(id)));
  const stray = disk.list().find((name) => LAYER_FILE_PATTERN.test(name) && !known.has(name));
  if (stray !== undefined) return stray;
  const more = layers.find(({ id }) => files(id).length !== 2);
  return more === undefined ? null : `files of layer ${more.id}`;
};
