import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { REPOSITORY } from '../support/daemons.ts';
import { until } from '../support/until.ts';
import { helm, kubectl, renderChart } from './chart.ts';
import { CHART } from './openebs-system.ts';
import { PLAIN_MANIFEST, renderPlainManifest } from './plain-manifest.ts';
import { ProgramError } from './run-program.ts';

type Tree = Record<string, unknown>;

/** Something else that the schema allows. */
const OTHER: Readonly<Record<string, unknown>> = {
  'image.pullPolicy': 'Always',
  'image.pullSecrets': ['registry'],
  'provisioner.logLevel': 'debug',
  'provisioner.replicas': 3,
  'provisioner.resources': { limits: { memory: '1Gi' } },
  'provisioner.tolerations': [{ operator: 'Exists' }],
  'provisioner.nodeSelector': { disk: 'fast' },
  'api.enabled': false,
  'api.resources': { limits: { memory: '1Gi' } },
  'target.resources': { limits: { memory: '1Gi' } },
  'replica.resources': { limits: { memory: '1Gi' } },
  'replicaReplacement.afterMinutes': 5,
  tolerations: [{ operator: 'Exists' }],
  'defaultPool.path': '/srv/openebs',
  'chap.secretNamespaces': ['default'],
  'storageClass.create': false,
  'storageClass.isDefault': true,
  'storageClass.replicas': 2,
  'storageClass.reclaimPolicy': 'Retain',
  'storageClass.volumeBindingMode': 'Immediate',
  'storageClass.fsType': 'xfs',
};

/** Paths of the values, as they are to be set; maps that stand for themselves stay whole. */
const paths = (tree: Tree, prefix = ''): string[] =>
  Object.entries(tree).flatMap(([name, value]) => {
    const path = `${prefix}${name}`;
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isGroup && !Object.hasOwn(OTHER, path) ? paths(value as Tree, `${path}.`) : [path];
  });

/** What is random, and the sum over all values, say nothing of a value's own effect. */
const comparable = (rendered: string): string =>
  rendered.replace(/^ {2}token.*: .*$/gm, '').replace(/^ *checksum\/settings: .*$/gm, '');

describe('the chart', () => {
  it('passes the linter', async () => {
    expect(await helm(['lint', '--strict', CHART])).to.include('0 chart(s) failed');
  });

  it('is taken by a real API server', async () => {
    await kubectl(['create', 'namespace', 'openebs']).catch((error: unknown) => {
      if (!String(error).includes('already exists')) throw error;
    });
    const rendered = await renderChart();
    const taken = await kubectl(
      ['apply', '--server-side', '--dry-run=server', '--force-conflicts', '-f', '-'],
      rendered,
    );
    expect(taken).to.include('deployment.apps/openebs-provisioner');
    expect(taken).to.include('storageclass.storage.k8s.io/openebs');
  });

  it('is what the plain manifest says, for who has no helm', async () => {
    const plain = readFileSync(PLAIN_MANIFEST, 'utf8');
    expect(plain, 'run npm run manifests').to.equal(await renderPlainManifest(helm));
    const taken = await kubectl(
      ['apply', '--server-side', '--dry-run=server', '--force-conflicts', '-f', '-'],
      plain,
    );
    expect(taken).to.include('deployment.apps/openebs-provisioner');
  });

  it('comes with examples that a real API server takes', async () => {
    await kubectl(['apply', '--server-side', '--force-conflicts', '-f', join(CHART, 'crds')]);
    const examples = join(REPOSITORY, 'manifests', 'examples');
    const arguments_ = ['apply', '--server-side', '--dry-run=server', '-f', examples];
    await until('the definitions', async () => {
      const taken = await kubectl(arguments_).catch(String);
      return taken.includes('openebssnapshot.openebs.io/orders-monday serverside-applied');
    });
  });

  it('has no value that changes nothing', async () => {
    const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Tree;
    const usual = comparable(await renderChart());
    for (const path of paths(values)) {
      const other = OTHER[path] ?? 'something-else';
      expect(comparable(await renderChart({ [path]: other })), path).not.to.equal(usual);
    }
  }).timeout(120_000);

  it('refuses values that are not known, or not right', async () => {
    for (const values of [{ 'storageClas.name': 'x' }, { 'storageClass.replicas': 7 }]) {
      const failed = await renderChart(values).then(
        () => null,
        (error: unknown) => error,
      );
      expect(failed).to.be.instanceOf(ProgramError);
    }
  });
});
