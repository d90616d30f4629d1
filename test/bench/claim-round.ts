import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { CLAIMS, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import { resource, type KubeObject } from '../../provisioner/src/kubernetes/objects.ts';
import {
  DEPLOYMENTS,
  SERVICES,
} from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import { nameOfVolume } from '../cluster/claim-load.ts';
import { eventually, NAMESPACE, type Installation } from '../cluster/installation.ts';
import { thePlane } from '../cluster/plane.ts';
import { cpuSeconds, residentBytes } from '../support/process-usage.ts';
import { ClaimTimes } from './claim-times.ts';

const PODS = resource<KubeObject>('v1', 'Pod', 'pods', true);
const WHOLE_MS = 600_000;
/** Nothing has been called for so long: what a burst of claims leads to is over. */
const QUIET_MS = 3_000;

/** One of the two that make volumes. */
export interface Contender {
  readonly name: string;
  readonly className: string;
  /** As the API server's audit log has it. */
  readonly user: string;
  readonly pid: () => number;
}

/** From the sending of the claim on, sorted. Milliseconds. */
export interface RoundTimes {
  readonly volume: readonly number[];
  readonly bound: readonly number[];
  readonly whole: readonly number[];
}

export interface Round {
  readonly contender: string;
  readonly times: RoundTimes;
  /** Of its process, until all was quiet again. */
  readonly cpuSeconds: number;
  readonly planeCpuSeconds: number;
  readonly residentBytes: number;
  /** For one claim, by verb and resource; its lease and its watches are not counted. */
  readonly calls: Readonly<Record<string, number>>;
}

interface AuditLine {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly subresource?: string };
}

/** What the user has called since `from` lines. */
const audited = (user: string, from: number): { lines: number; calls: Record<string, number> } => {
  const lines = readFileSync(thePlane().auditLog, 'utf8').split('\n').slice(0, -1);
  const calls: Record<string, number> = {};
  for (const line of lines.slice(from)) {
    const { verb, user: by, objectRef } = JSON.parse(line) as AuditLine;
    if (by.username !== user || objectRef === undefined) continue;
    if (objectRef.resource === 'leases' || verb === 'watch') continue;
    const part = objectRef.subresource === undefined ? '' : `/${objectRef.subresource}`;
    const call = `${verb} ${objectRef.resource}${part}`;
    calls[call] = (calls[call] ?? 0) + 1;
  }
  return { lines: lines.length, calls };
};

const sumOf = (calls: Readonly<Record<string, number>>): number =>
  Object.values(calls).reduce((sum, count) => sum + count, 0);

/** Claims at once, until everything of them is there and quiet; then they are removed. */
export const runRound = async (
  cluster: Installation,
  contender: Contender,
  { count, round }: { readonly count: number; readonly round: number },
): Promise<Round> => {
  const { name, className, user, pid } = contender;
  const times = new ClaimTimes();
  await times.ready();
  const before = {
    cpu: cpuSeconds(pid()),
    plane: thePlane().cpuSeconds,
    lines: audited(user, 0).lines,
  };
  const sentMs = performance.now();
  const claims = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      cluster.claim(`${className}-${round}-${index}`, { storageClassName: className }),
    ),
  );
  const moments = claims.map((claim) => times.of(nameOfVolume(claim)));
  await eventually(
    `${count} volumes of ${name}`,
    () =>
      Promise.resolve(
        moments.every(
          ({ volumeMs, boundMs, wholeMs }) =>
            volumeMs !== undefined && boundMs !== undefined && wholeMs !== undefined,
        ),
      ),
    WHOLE_MS,
  );
  let seen = -1;
  while (sumOf(audited(user, before.lines).calls) !== seen) {
    seen = sumOf(audited(user, before.lines).calls);
    await delay(QUIET_MS);
  }
  const { calls } = audited(user, before.lines);
  const since = (key: 'volumeMs' | 'boundMs' | 'wholeMs'): number[] =>
    moments.map((each) => (each[key] ?? NaN) - sentMs).sort((a, b) => a - b);
  const result: Round = {
    contender: name,
    times: { volume: since('volumeMs'), bound: since('boundMs'), whole: since('wholeMs') },
    cpuSeconds: cpuSeconds(pid()) - before.cpu,
    planeCpuSeconds: thePlane().cpuSeconds - before.plane,
    residentBytes: residentBytes(pid()),
    calls: Object.fromEntries(Object.entries(calls).map(([call, times]) => [call, times / count])),
  };
  await times.stop();
  await remove(cluster, claims);
  return result;
};

const remove = async (cluster: Installation, claims: readonly Claim[]): Promise<void> => {
  const { api } = cluster;
  await Promise.all(claims.map(({ metadata }) => api.remove(CLAIMS, metadata)));
  const left = async (): Promise<number> => {
    await cluster.endAllCleaning();
    const volumes = (await api.list(VOLUMES)).items.length;
    if (volumes > 0) return volumes;
    const kinds = [DEPLOYMENTS, SERVICES, PODS];
    const lists = await Promise.all(kinds.map((kind) => api.list(kind, { namespace: NAMESPACE })));
    return lists.flatMap(({ items }) => items).filter(isOfVolume).length;
  };
  await eventually('the end of the volumes', async () => (await left()) === 0, WHOLE_MS);
};

const isOfVolume = ({ metadata }: KubeObject): boolean =>
  metadata.labels?.['openebs.io/persistent-volume'] !== undefined;
