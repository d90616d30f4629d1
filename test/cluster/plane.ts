import { KubeConfig } from '@kubernetes/client-node';
import { KubeClient } from '../../provisioner/src/kubernetes/kube-client.ts';
import { ControlPlane } from './control-plane.ts';

/** One control plane for all files of the suite, and a client of it. */
let plane: ControlPlane | null = null;
let client: KubeClient | null = null;

export const thePlane = (): ControlPlane => {
  if (plane === null) throw new Error('the control plane is not started');
  return plane;
};

export const theClient = (): KubeClient => {
  if (client === null) throw new Error('the control plane is not started');
  return client;
};

before(async function () {
  this.timeout(180_000);
  plane = await ControlPlane.start();
  const config = new KubeConfig();
  config.loadFromFile(plane.kubeconfig);
  client = new KubeClient(config);
});

after(async function () {
  this.timeout(30_000);
  await client?.close();
  await plane?.stop();
});
