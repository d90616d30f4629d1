/** What the installation says (the chart's values), for all volumes. */
export interface KubernetesSettings {
  /** Where volumes and everything of them are. */
  readonly namespace: string;
  readonly targetImage: string;
  readonly replicaImage: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly imagePullSecrets: readonly string[];
  /** Path of the pool `default` where there is no StoragePool of that name. */
  readonly defaultPoolPath: string;
  readonly targetResources: ResourceRequirements;
  readonly replicaResources: ResourceRequirements;
  readonly tolerations: readonly object[];
  /** A Secret with the key `token`, for orders to targets. */
  readonly controlTokenSecret: string;
  /** Where this process finds that token: the Secret, mounted. */
  readonly controlTokenFile: string;
  /** A copy on a node that is lost this long is made anew on another one. */
  readonly replaceAfterMinutes: number;
  /** Whose CHAP Secrets classes may name; `*`: those of all. */
  readonly chapSecretNamespaces: readonly string[];
}

export interface ResourceRequirements {
  readonly requests?: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, string>>;
}
