import { KubeConfig } from '@kubernetes/client-node';
import { describeKubeApi } from '../../provisioner/src/kubernetes/kube-api.contract.test-support.ts';
import { KubeClient } from '../../provisioner/src/kubernetes/kube-client.ts';

const config = new KubeConfig();
config.loadFromDefault();
const client = new KubeClient(config);

describeKubeApi('a real API server', () => client);

after(() => client.close());
