import type { SecretReference } from '../orchestrator/kubernetes/volume-resource.ts';
import { Refusal } from './parameters.ts';

/** Of a class, unresolved. */
export interface SecretTemplates {
  readonly name: string;
  readonly namespace: string;
}

/** What of a claim may be in them. */
export interface TemplateFacts {
  readonly volume: string;
  readonly namespace: string;
  readonly claim: string;
  readonly annotations: Readonly<Record<string, string>>;
}

const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SECRET_NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})*$`);

/**
 * As kubernetes-csi/external-provisioner resolves them: the namespace follows from what the user of
 * a claim does not choose, the name may follow from all of it. Throws Refusal.
 */
export const resolveSecret = (
  { name, namespace }: SecretTemplates,
  facts: TemplateFacts,
): SecretReference => {
  const ofAll = new Map([
    ['pv.name', facts.volume],
    ['pvc.namespace', facts.namespace],
  ]);
  const ofName = new Map([
    ...ofAll,
    ['pvc.name', facts.claim],
    ...Object.entries(facts.annotations).map(
      ([key, value]) => [`pvc.annotations['${key}']`, value] as const,
    ),
  ]);
  return {
    namespace: resolve({
      ...{ parameter: 'chapSecretNamespace', template: namespace, tokens: ofAll },
      ...{ allowed: '${pv.name} and ${pvc.namespace}', valid: NAMESPACE, what: 'a namespace' },
    }),
    name: resolve({
      ...{ parameter: 'chapSecretName', template: name, tokens: ofName },
      allowed: "${pv.name}, ${pvc.name}, ${pvc.namespace} and ${pvc.annotations['KEY']}",
      ...{ valid: SECRET_NAME, what: 'the name of a Secret' },
    }),
  };
};

const resolve = ({
  parameter,
  template,
  tokens,
  allowed,
  valid,
  what,
}: {
  readonly parameter: string;
  readonly template: string;
  readonly tokens: ReadonlyMap<string, string>;
  readonly allowed: string;
  readonly valid: RegExp;
  readonly what: string;
}): string => {
  // A dollar without braces stands for nothing, and is no part of a name.
  const resolved = template.replaceAll(/\$\{([^}]*)\}|\$/g, (found, token?: string) => {
    const value = token === undefined ? undefined : tokens.get(token);
    if (value !== undefined) return value;
    const annotation = /^pvc\.annotations\['(.*)'\]$/.exec(token ?? '')?.[1];
    if (annotation !== undefined && allowed.includes('annotations')) {
      throw new Refusal(
        `Parameter ${parameter} of the class is "${template}", and the claim has no annotation ${annotation}; write it (kubectl annotate pvc).`,
      );
    }
    throw new Refusal(
      `Parameter ${parameter} of the class is "${template}", and ${found} is not known there; write ${allowed}.`,
    );
  });
  if (valid.test(resolved)) return resolved;
  const became = resolved === template ? '' : `, which is "${resolved}" for this claim`;
  throw new Refusal(
    `Parameter ${parameter} of the class is "${template}"${became}: that cannot be ${what}; write lower case letters, digits and hyphens.`,
  );
};
