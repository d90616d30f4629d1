import { FakeKubeApi } from './fake-kube-api.test-support.ts';
import { describeKubeApi } from './kube-api.contract.test-support.ts';

describeKubeApi('in memory', () => new FakeKubeApi());
