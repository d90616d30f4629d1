import { describeKubeApi } from '../../provisioner/src/kubernetes/kube-api.contract.test-support.ts';
import { theClient } from './plane.ts';

describeKubeApi('a real API server', theClient);
