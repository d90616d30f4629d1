import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';

/** One hierarchy for everything (v2), or one for each controller (v1)? */
export const hasOneHierarchy = (): boolean => existsSync(join(ROOT, 'cgroup.controllers'));

/** A cgroup of a node in each hierarchy, below that of this process. Returns their paths. */
export const makeCgroups = (name: string): string[] =>
  readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line)!)
    .filter(([, controllers]) => hasOneHierarchy() || controllers !== '')
    .map(([, controllers, path]) => {
      const parent = join(ROOT, controllers!.replace('name=', ''), path!);
      const folder = join(parent, name);
      mkdirSync(folder, { recursive: true });
      if (controllers === 'cpuset') shareProcessors(parent, folder);
      weigh(folder);
      return folder;
    });

/** Beside the processes of this machine a node counts as the many that it has, not as one. */
const weigh = (folder: string): void => {
  for (const [file, weight] of [
    ['cpu.shares', '20480'],
    ['cpu.weight', '2000'],
  ] as const)
    if (existsSync(join(folder, file))) writeFileSync(join(folder, file), weight);
};

/** Without these no process may enter. */
const shareProcessors = (parent: string, folder: string): void => {
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    writeFileSync(join(folder, file), readFileSync(join(parent, file)));
  writeFileSync(join(folder, 'cgroup.clone_children'), '1');
};

/** Those of a node whose processes have ended, leaves first. */
export const removeCgroups = async (folders: readonly string[]): Promise<void> => {
  for (const folder of folders) {
    for (let attempts = 0; existsSync(folder) && attempts < 50; attempts++) {
      try {
        removeTree(folder);
      } catch {
        // A process that was killed is still on its way out.
        await delay(100);
      }
    }
  }
};

const removeTree = (folder: string): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  rmdirSync(folder);
};
