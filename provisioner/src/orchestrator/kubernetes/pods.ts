import type { KubernetesSettings } from './settings.ts';

/**
 * A node that does not answer has kept the volume waiting long enough when that is noticed: the
 * target moves at once, and the replicas fence the old one if it runs on. A node that answers and
 * says that it is not ready, as one whose kubelet starts anew, gets a moment.
 */
export const targetTolerations = Object.entries({
  'node.kubernetes.io/unreachable': 0,
  'node.kubernetes.io/not-ready': 5,
}).map(([key, tolerationSeconds]) => ({
  key,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds,
}));

/** All that a container of ours may do is its work. */
export const containerSecurity = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const;

export const probes = (port: number) => ({
  // It gates the Service's endpoints, and so how soon initiators find the target again.
  readinessProbe: {
    httpGet: { path: '/readyz', port },
    periodSeconds: 1,
    timeoutSeconds: 2,
    failureThreshold: 2,
  },
  // Only for an event loop that hangs: a volume that waits for its replicas is alive.
  livenessProbe: {
    httpGet: { path: '/healthz', port },
    initialDelaySeconds: 10,
    periodSeconds: 10,
    timeoutSeconds: 5,
    failureThreshold: 6,
  },
});

export const commonPodSpec = (settings: KubernetesSettings) => ({
  // Nothing in these pods talks to Kubernetes.
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  ...(settings.imagePullSecrets.length === 0
    ? {}
    : { imagePullSecrets: settings.imagePullSecrets.map((name) => ({ name })) }),
});

export const scrapeAnnotations = (monitored: boolean, port: number): Record<string, string> =>
  monitored
    ? {
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': String(port),
        'prometheus.io/path': '/metrics',
      }
    : {};
