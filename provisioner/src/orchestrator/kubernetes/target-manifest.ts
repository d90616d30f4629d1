import type { KubeObject } from '../../kubernetes/objects.ts';
import { parseQuantity } from '../../kubernetes/quantity.ts';
import {
  annotationsOf,
  ISCSI_PORT,
  iqnOf,
  labelsOf,
  REPLICA_DATA_PORT,
  replicaServiceName,
  selectorOf,
  TARGET_CONTROL_PORT,
  targetName,
  volumeIdOf,
} from './names.ts';
import {
  commonPodSpec,
  containerSecurity,
  probes,
  scrapeAnnotations,
  TARGET_TOLERATION_SECONDS,
} from './pods.ts';
import { replicaHostName } from './replica-manifest.ts';
import type { KubernetesSettings } from './settings.ts';
import { votersOf } from './voters.ts';
import type { VolumeResource } from './volume-resource.ts';

const TARGET_USER = 65532;

/** One target: never two pods at a time (Recreate); if there are two, the replicas fence one. */
export const targetDeployment = (
  volume: VolumeResource,
  portalIp: string,
  settings: KubernetesSettings,
): KubeObject => {
  const { name } = volume.metadata;
  const labels = labelsOf(volume, 'target');
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      namespace: settings.namespace,
      name: targetName(name),
      labels,
      annotations: annotationsOf(volume),
    },
    spec: {
      replicas: 1,
      strategy: { type: 'Recreate' },
      revisionHistoryLimit: 1,
      selector: { matchLabels: selectorOf(volume, 'target') },
      template: {
        metadata: {
          labels,
          annotations: {
            ...annotationsOf(volume),
            ...scrapeAnnotations(volume.spec.monitored, TARGET_CONTROL_PORT),
          },
        },
        spec: {
          ...commonPodSpec(settings),
          terminationGracePeriodSeconds: 30,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: TARGET_USER,
            runAsGroup: TARGET_USER,
            fsGroup: TARGET_USER,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          tolerations: [
            ...['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].map((key) => ({
              key,
              operator: 'Exists',
              effect: 'NoExecute',
              tolerationSeconds: TARGET_TOLERATION_SECONDS,
            })),
            ...settings.tolerations,
          ],
          ...affinity(volume),
          containers: [
            {
              name: 'target',
              image: settings.targetImage,
              imagePullPolicy: settings.imagePullPolicy,
              command: ['node', '/openebs/target/src/main.ts'],
              args: targetArguments(volume, portalIp, settings),
              ports: [
                { name: 'iscsi', containerPort: ISCSI_PORT },
                { name: 'control', containerPort: TARGET_CONTROL_PORT },
              ],
              ...probes(TARGET_CONTROL_PORT),
              resources: settings.targetResources,
              securityContext: containerSecurity,
              volumeMounts: [
                { name: 'control-token', mountPath: '/run/openebs/control', readOnly: true },
              ],
            },
          ],
          volumes: [
            {
              name: 'control-token',
              secret: { secretName: settings.controlTokenSecret, defaultMode: 0o440 },
            },
          ],
        },
      },
    },
  } as KubeObject;
};

const targetArguments = (
  volume: VolumeResource,
  portalIp: string,
  settings: KubernetesSettings,
): string[] => {
  const { name } = volume.metadata;
  const service = `${replicaServiceName(name)}.${settings.namespace}.svc`;
  return [
    ...['--volume', name],
    ...['--volume-id', volumeIdOf(volume)],
    ...['--size', String(parseQuantity(volume.spec.size))],
    ...['--iqn', iqnOf(name)],
    ...['--listen', `0.0.0.0:${ISCSI_PORT}`],
    // SendTargets has to name exactly the address that the initiator has dialled.
    ...['--portal', `${portalIp}:${ISCSI_PORT}`],
    ...['--control', `0.0.0.0:${TARGET_CONTROL_PORT}`],
    ...['--control-token-file', '/run/openebs/control/token'],
    ...votersOf(volume.spec.replicas).flatMap(({ index }) => [
      '--replica',
      `${replicaHostName(index)}.${service}:${REPLICA_DATA_PORT}`,
    ]),
  ];
};

/** Beside the pod that uses the volume, where there is room. */
const affinity = ({ spec }: VolumeResource): object =>
  spec.selectedNode === undefined
    ? {}
    : {
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              {
                weight: 100,
                preference: {
                  matchExpressions: [
                    {
                      key: 'kubernetes.io/hostname',
                      operator: 'In',
                      values: [spec.selectedNode],
                    },
                  ],
                },
              },
            ],
          },
        },
      };
