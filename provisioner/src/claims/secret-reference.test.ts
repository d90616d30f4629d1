import { expect } from 'chai';
import { resolveSecret } from './secret-reference.ts';

const FACTS = {
  volume: 'pvc-1',
  namespace: 'shop',
  claim: 'orders',
  annotations: { 'example.com/secret': 'mine', wrong: 'Not_A_Name' },
};

const resolved = (name: string, namespace = 'vault'): string => {
  try {
    const secret = resolveSecret({ name, namespace }, FACTS);
    return `${secret.namespace}/${secret.name}`;
  } catch (error) {
    return (error as Error).message;
  }
};

describe('the Secret that a class names', () => {
  it('is that of the volume, the claim, its namespace or an annotation of it', () => {
    expect(resolved('common')).to.equal('vault/common');
    expect(resolved('${pv.name}', '${pvc.namespace}')).to.equal('shop/pvc-1');
    expect(resolved('${pvc.namespace}.${pvc.name}-chap', 'v-${pv.name}')).to.equal(
      'v-pvc-1/shop.orders-chap',
    );
    expect(resolved("${pvc.annotations['example.com/secret']}")).to.equal('vault/mine');
  });

  it('lies in no namespace that the user of a claim chooses', () => {
    for (const template of ['${pvc.name}', "${pvc.annotations['example.com/secret']}"]) {
      const words = resolved('common', template);
      expect(words).to.include(`chapSecretNamespace of the class is "${template}"`);
      expect(words).to.include('write ${pv.name} and ${pvc.namespace}');
    }
  });

  it('is refused where the template is not known, with those that are', () => {
    for (const template of ['${pvc.uid}', '$pvc.name', 'a$', '${', '${}', '${pvc.name']) {
      expect(resolved(template), template).to.match(/is not known there; write \$\{pv\.name\}, /);
    }
    expect(resolved("${pvc.annotations['none']}")).to.include('the claim has no annotation none');
  });

  it('is refused where what comes out is no name, and both are told', () => {
    const words = resolved("${pvc.annotations['wrong']}");
    expect(words).to.include('which is "Not_A_Name" for this claim: that cannot be the name of a');
    expect(resolved('Common')).to.include('"Common": that cannot be the name of a Secret');
    expect(resolved('common', 'a.b')).to.include('"a.b": that cannot be a namespace');
    for (const name of ['', 'a'.repeat(254), '-a', 'a..b', 'a.', '../x']) {
      expect(resolved(name), name).to.include('that cannot be the name of a Secret');
    }
    expect(resolved('common', 'a'.repeat(64))).to.include('that cannot be a namespace');
  });
});
