import { CLAIMS, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import type { KubeApi } from '../../provisioner/src/kubernetes/kube-api.ts';
import { until } from '../support/until.ts';
import { claimOf } from './openebs-system.ts';
import { PersistentDisk } from './persistent-disk.ts';
import { VolumePods } from './volume-pods.ts';

const SERVING_MS = 120_000;
const REMOVED_MS = 120_000;

/** A claim and what became of it: its volume, its pods, and a disk at the volume's address. */
export interface ClaimedVolume {
  readonly claim: Claim;
  readonly name: string;
  readonly pods: VolumePods;
  readonly disk: PersistentDisk;
}

/** Resolves when all of it serves. */
export const claimVolume = async (
  api: KubeApi,
  name: string,
  sizeBytes: number,
): Promise<ClaimedVolume> => {
  const made = JSON.parse(claimOf(name, String(sizeBytes))) as Claim;
  const claim = await api.create(CLAIMS, made);
  const volume = `pvc-${claim.metadata.uid ?? ''}`;
  const pods = new VolumePods(api, volume);
  await pods.until('ready', SERVING_MS);
  return { claim, name: volume, pods, disk: await diskOf(api, volume) };
};

/** As its PersistentVolume names it, once that is there. */
export const diskOf = async (api: KubeApi, name: string): Promise<PersistentDisk> => {
  const { spec } = await api.get(VOLUMES, { name });
  const [host = '', port = ''] = (spec?.iscsi?.targetPortal ?? '').split(':');
  return new PersistentDisk({ host, port: Number(port), targetName: spec?.iscsi?.iqn ?? '' });
};

export const removeVolume = async (api: KubeApi, claim: Claim, name: string): Promise<void> => {
  await api.remove(CLAIMS, claim.metadata);
  await untilFreed(api, name);
};

export const untilFreed = (api: KubeApi, name: string): Promise<void> =>
  until(
    'the end of the volume',
    async () => !(await api.list(VOLUMES)).items.some(({ metadata }) => metadata.name === name),
    REMOVED_MS,
  );
