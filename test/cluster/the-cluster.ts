import { clusterAccess } from '../../provisioner/src/kubernetes/cluster-access.ts';
import { KubeClient } from '../../provisioner/src/kubernetes/kube-client.ts';
import { Cluster } from './cluster.ts';
import { installOpenebs } from './openebs-system.ts';
import { missingForNodes } from './requirements.ts';

/** One cluster with nodes for all files of the suite, and a client of it. */
export interface SharedCluster {
  readonly cluster: Cluster;
  readonly api: KubeClient;
}

let starting: Promise<SharedCluster> | null = null;

const start = async (): Promise<SharedCluster> => {
  const cluster = await Cluster.start(3);
  try {
    await installOpenebs(cluster);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  const access = await clusterAccess(cluster.plane.kubeconfig);
  return { cluster, api: new KubeClient(access) };
};

/** With the system installed from the chart. Null: nodes can't run here; the test is to skip. */
export const theCluster = async (): Promise<SharedCluster | null> => {
  const lack = missingForNodes();
  if (lack !== null) {
    process.stdout.write(`skipped: ${lack}\n`);
    return null;
  }
  starting ??= start();
  return starting;
};

after(async function () {
  this.timeout(120_000);
  const shared = await starting?.catch(() => null);
  await shared?.api.close();
  await shared?.cluster.stop();
});
