import { existsSync } from 'node:fs';
import type { Requirement } from '../support/debian.ts';

/** What a node is made with, beside Kubernetes itself. */
export const NODE_TOOLS: readonly Requirement[] = [
  { command: 'ip', packages: ['iproute2'] },
  { command: 'nft', packages: ['nftables'] },
  { command: 'iptables', packages: ['iptables'] },
  { command: 'unshare', packages: ['util-linux'] },
  { command: 'openssl', packages: ['openssl'] },
];

/** Null: nodes can run here. Else why not. */
export const missingForNodes = (): string | null => {
  if (process.getuid?.() !== 0) return 'nodes of a cluster are namespaces, which only root makes';
  if (!existsSync('/sys/fs/cgroup')) return 'nodes of a cluster need cgroups';
  return null;
};
