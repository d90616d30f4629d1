import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** The cluster that `npm run cluster` has started and that goes on. */
export interface KeptCluster {
  /** Of its keeper, which is in the cluster's network. */
  readonly pid: number;
  readonly kubeconfig: string;
  readonly programs: string;
  /** The socket at which its keeper takes orders. */
  readonly orders: string;
}

const FILE = join(homedir(), '.cache', 'openebs-test', 'cluster.json');

export const rememberKept = (cluster: KeptCluster): void => {
  mkdirSync(dirname(FILE), { recursive: true });
  writeFileSync(FILE, JSON.stringify(cluster));
};

export const forgetKept = (): void => rmSync(FILE, { force: true });

/** Null: none runs. */
export const findKept = (): KeptCluster | null => {
  if (!existsSync(FILE)) return null;
  const cluster = JSON.parse(readFileSync(FILE, 'utf8')) as KeptCluster;
  return isKeeper(cluster.pid) ? cluster : null;
};

/** The number may have become another process's. */
export const isKeeper = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('cluster/keeper.ts');
  } catch {
    return false;
  }
};
