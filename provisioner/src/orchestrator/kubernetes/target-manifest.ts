import type { KubeObject } from '../../kubernetes/objects.ts';
import { chapSecretName, chapUser, FIRST_CHAP, SESSION_PASSWORD } from './chap-secret.ts';
import {
  annotationsOf,
  ISCSI_PORT,
  iqnOf,
  labelsOf,
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
  targetTolerations,
} from './pods.ts';
import type { KubernetesSettings } from './settings.ts';
import { isProtected, type VolumeResource } from './volume-resource.ts';
import { settingVariable } from './volume-settings.ts';

const TARGET_USER = 65532;
/** A target starts elsewhere mostly because a node is gone, and the replica there with it. */
const GRACE_SECONDS = 2;
/**
 * A kubelet that was cut off starts a container that ends anew until it hears that its pod was
 * deleted; the old target would take the volume back from the new one.
 */
const FENCED_SECONDS = 60;
const CHAP_MOUNT = '/run/openebs/chap';

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
            ...targetTolerations,
            ...settings.tolerations,
            ...(volume.spec.tolerations ?? []),
          ],
          ...affinity(volume),
          containers: [targetContainer(volume, portalIp, settings)],
          volumes: [
            {
              name: 'control-token',
              secret: { secretName: settings.controlTokenSecret, defaultMode: 0o440 },
            },
            ...chapVolumes(volume),
          ],
        },
      },
    },
  } as KubeObject;
};

const targetContainer = (
  volume: VolumeResource,
  portalIp: string,
  settings: KubernetesSettings,
): object => ({
  name: 'target',
  image: settings.targetImage,
  imagePullPolicy: settings.imagePullPolicy,
  command: ['node', '/openebs/target/src/main.ts'],
  args: targetArguments(volume, portalIp),
  // What changes while the volume serves is told to the target, not by a restart.
  env: [settingVariable(volume, 'size'), settingVariable(volume, 'replica')],
  ports: [
    { name: 'iscsi', containerPort: ISCSI_PORT },
    { name: 'control', containerPort: TARGET_CONTROL_PORT },
  ],
  ...probes(TARGET_CONTROL_PORT),
  resources: volume.spec.resources?.target ?? settings.targetResources,
  securityContext: containerSecurity,
  volumeMounts: [
    { name: 'control-token', mountPath: '/run/openebs/control', readOnly: true },
    ...(isProtected(volume) ? [{ name: 'chap', mountPath: CHAP_MOUNT, readOnly: true }] : []),
  ],
});

const chapVolumes = (volume: VolumeResource): object[] =>
  isProtected(volume)
    ? [
        {
          name: 'chap',
          secret: {
            secretName: chapSecretName(volume.metadata.name),
            defaultMode: 0o440,
            items: [
              volume.spec.chap === true
                ? { key: SESSION_PASSWORD, path: 'secret' }
                : { key: FIRST_CHAP, path: FIRST_CHAP },
            ],
          },
        },
      ]
    : [];

const targetArguments = (volume: VolumeResource, portalIp: string): string[] => {
  const { name } = volume.metadata;
  return [
    ...['--volume', name],
    ...['--volume-id', volumeIdOf(volume)],
    ...['--iqn', iqnOf(name)],
    ...['--listen', `0.0.0.0:${ISCSI_PORT}`],
    // SendTargets has to name exactly the address that the initiator has dialled.
    ...['--portal', `${portalIp}:${ISCSI_PORT}`],
    ...['--control', `0.0.0.0:${TARGET_CONTROL_PORT}`],
    ...['--control-token-file', '/run/openebs/control/token'],
    ...['--grace-seconds', String(GRACE_SECONDS)],
    ...['--fenced-seconds', String(FENCED_SECONDS)],
    ...chapArguments(volume),
  ];
};

/** Of somebody else's Secret what the volume begins with: it may change without a restart. */
const chapArguments = ({ metadata, spec }: VolumeResource): string[] => {
  if (spec.chapSecretRef !== undefined) {
    return ['--first-chap-file', `${CHAP_MOUNT}/${FIRST_CHAP}`];
  }
  if (spec.chap !== true) return [];
  return ['--chap-user', chapUser(metadata.name), '--chap-secret-file', `${CHAP_MOUNT}/secret`];
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
