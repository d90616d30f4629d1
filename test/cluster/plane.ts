import { clusterAccess } from '../../provisioner/src/kubernetes/cluster-access.ts';
import { KubeClient } from '../../provisioner/src/kubernetes/kube-client.ts';
import { ControlPlane, type ControlPlaneOptions } from './control-plane.ts';

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

export const startPlane = async (options: ControlPlaneOptions = {}): Promise<void> => {
  plane = await ControlPlane.start(options);
  client = new KubeClient(await clusterAccess(plane.kubeconfig));
};

export const stopPlane = async (): Promise<void> => {
  await client?.close();
  await plane?.stop();
};

/** In tests it is started once; a benchmark starts one for each measurement. */
const hooks: { readonly before?: typeof before; readonly after?: typeof after } = globalThis;

hooks.before?.(async function () {
  this.timeout(180_000);
  await startPlane();
});

hooks.after?.(async function () {
  this.timeout(30_000);
  await stopPlane();
});
