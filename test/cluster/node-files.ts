import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface NodeFilesOptions {
  readonly directory: string;
  readonly programs: string;
  readonly name: string;
  readonly podNetwork: string;
  readonly dns: string;
  /** Of whom kubelet takes orders. */
  readonly clientCertificate: string;
}

export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10';
export const POD_NETWORKS = '10.244.0.0/16';

/** The configuration of a node's programs. */
export const writeNodeFiles = (options: NodeFilesOptions): void => {
  const { directory } = options;
  const write = (name: string, content: string | object): void =>
    writeFileSync(
      join(directory, name),
      typeof content === 'string' ? content : JSON.stringify(content),
    );
  write('containerd.toml', containerd(options));
  write('cni/10-pods.conflist', pods(options));
  write('kubelet.json', kubelet(options));
  write('kube-proxy.json', proxy(options));
  write('resolv.conf', 'options ndots:5\n');
};

const containerd = ({ directory, programs }: NodeFilesOptions): string => `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.nri.v1.nri",
]
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "${PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["${programs}/cni"]
    conf_dir = "${directory}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "${programs}/runc"
      SystemdCgroup = false
`;

const pods = ({ podNetwork }: NodeFilesOptions): object => ({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'ptp',
      mtu: 1500,
      ipMasq: false,
      ipam: {
        type: 'host-local',
        dataDir: '/run/cni',
        ranges: [[{ subnet: podNetwork }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
});

const kubelet = ({ directory, dns, clientCertificate }: NodeFilesOptions): object => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  failCgroupV1: false,
  cgroupDriver: 'cgroupfs',
  containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: clientCertificate },
  },
  authorization: { mode: 'Webhook' },
  clusterDNS: [dns],
  clusterDomain: 'cluster.local',
  resolvConf: join(directory, 'resolv.conf'),
  failSwapOn: false,
  oomScoreAdj: 0,
  // A node that is lost is to be noticed in seconds: tests wait for it.
  nodeLeaseDurationSeconds: 8,
  nodeStatusUpdateFrequency: '4s',
  // The disk is shared by all nodes, and by others.
  evictionHard: {
    'memory.available': '50Mi',
    'nodefs.available': '1%',
    'imagefs.available': '1%',
  },
  // No image can be fetched again.
  imageGCHighThresholdPercent: 100,
  volumePluginDir: '/var/lib/kubelet/volumeplugins',
});

const proxy = ({ directory, name }: NodeFilesOptions): object => ({
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: 'nftables',
  clientConnection: { kubeconfig: join(directory, 'kube-proxy.conf') },
  clusterCIDR: POD_NETWORKS,
  hostnameOverride: name,
  oomScoreAdj: 0,
  // These limits belong to the whole machine.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  nodePortAddresses: ['primary'],
  nftables: { minSyncPeriod: '100ms', syncPeriod: '30s' },
});
