/**
 * Goal: what a volume does and how it is can be seen: with mayactl, and with the calls that scripts
 * of the original make.
 * Method: the real system over HTTP; an initiator that writes while it is measured; a replica that
 * is stopped, so that the volume has a reason.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { until } from '../support/until.ts';
import { LocalSystem } from './local-system.ts';

const MIB = 1024 ** 2;
const CLAIM = `kind: PersistentVolumeClaim
apiVersion: v1
metadata:
  name: old
  labels:
    volumeprovisioner.mapi.openebs.io/storage-size: 64Mi
    volumeprovisioner.mapi.openebs.io/replica-count: 2
`;

describe('a volume that is looked at', function () {
  this.timeout(180_000);
  let root: string;
  let system: LocalSystem;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-look-'));
    system = await LocalSystem.start(root, []);
    await system.volumeBeing('demo', 'healthy');
  });
  after(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  const latest = async (path: string, yaml?: string): Promise<Response> => {
    const { apiUrl } = JSON.parse(readFileSync(join(root, 'server.json'), 'utf8')) as {
      apiUrl: string;
    };
    const authorization = `Bearer ${readFileSync(join(root, 'token'), 'utf8').trim()}`;
    const headers = { authorization, 'content-type': 'application/yaml' };
    return yaml === undefined
      ? fetch(`${apiUrl}/latest/${path}`, { headers: { authorization } })
      : fetch(`${apiUrl}/latest/${path}`, { method: 'POST', headers, body: yaml });
  };
  const widest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));

  it('has its rates measured while an initiator writes', async () => {
    const disk = await system.disk('demo');
    const end = new AbortController();
    const load = (async (): Promise<number> => {
      let count = 0;
      for (; !end.signal.aborted; count++)
        await disk.write((count % 64) * 4096, Buffer.alloc(4096, count));
      return count;
    })();
    const args = ['volume', 'stats', 'demo', '--interval', '1.5', '-o', 'json'];
    const { stdout, code, stderr } = await system.mayactl(...args);
    end.abort();
    const count = await load;
    await disk.session.logout();
    expect(code, stderr).to.equal(0);
    const rates = JSON.parse(stdout) as Record<string, number>;
    expect(rates['seconds']).to.be.at.least(1.4);
    const writes = rates['writesPerSecond']! * rates['seconds']!;
    expect(writes).to.be.within(1, count);
    expect(rates['writeBytesPerSecond']! / rates['writesPerSecond']!).to.be.closeTo(4096, 0.01);
    expect(rates['writeLatencyMs']).to.be.greaterThan(0);
    expect(rates['readLatencyMs']).to.equal(null);
    expect(rates['usedBytes']).to.be.at.least(64 * 4096);
    const table = await system.mayactl('volume', 'stats', 'demo', '--interval', '0.2');
    expect(table.stdout).to.match(/^r\/s +w\/s +r\(MB\/s\) .*USED\(GB\)\n0 +0 +0\.000/);
    const refused = await system.mayactl('volume', 'stats', 'demo', '--interval', 'soon');
    expect([refused.code, refused.stderr]).to.satisfy(
      ([exit, text]: [number, string]) => exit === 2 && text.includes('number of seconds'),
    );
    expect((await system.mayactl('volume', 'stats', 'none')).code).to.equal(3);
  });

  it('is described with what happened to it, within 80 columns', async () => {
    await system.mayactl('snapshot', 'create', 'demo', 'first');
    const { stdout, code } = await system.mayactl('volume', 'describe', 'demo');
    expect(code).to.equal(0);
    expect(widest(stdout)).to.be.at.most(80);
    expect(stdout).to.match(/Since +: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(\d+ /);
    expect(stdout).to.match(/Writes +: [1-9]\d*, /);
    expect(stdout).to.include('first').and.to.include('snapshot first made');
    const json = await system.mayactl('volume', 'describe', 'demo', '-o', 'json');
    expect(JSON.parse(json.stdout)).to.have.keys('volume', 'stats', 'snapshots', 'events');
  });

  it('says why it is degraded, since when, and what is next, everywhere', async () => {
    const before = Date.now();
    system.kill9('demo.replica-3');
    let volume = { since: '', reason: '', next: '', access: '', status: '' };
    await until('a degraded volume', async () => {
      volume = (await system.volume('demo')) as unknown as typeof volume;
      return volume.status === 'degraded';
    });
    expect(Date.parse(volume.since)).to.be.at.least(before);
    expect(volume.access).to.equal('read-write');
    expect(volume.reason).to.match(/replica-3 is (offline|syncing)/);
    expect(volume.next).to.include('reads and writes go on');
    await system.volumeBeing('demo', 'healthy');
  });

  it('is in the events, among all volumes, and in the archive for those who help', async () => {
    const events = await system.mayactl('events');
    expect(events.code).to.equal(0);
    expect(events.stdout).to.match(/ ! demo: degraded, .*replica-3 is/);
    expect(widest(events.stdout)).to.be.at.most(80);
    const newest = await system.mayactl('events', 'demo', '--limit', '1', '-o', 'json');
    expect(JSON.parse(newest.stdout)).to.have.length(1);
    expect((await system.mayactl('events', 'none')).code).to.equal(3);
    const top = await system.mayactl('top', '--interval', '0.2');
    expect(top.stdout).to.match(/^r\/s .* NAME\n.* all 1\n.* demo\n$/);
    const file = join(root, 'dump.tar.gz');
    const dump = await system.mayactl('dump', '--file', file);
    expect(dump.code, dump.stderr).to.equal(0);
    expect(dump.stdout).to.not.include('left out');
    const archive = gunzipSync(readFileSync(file)).toString();
    for (const name of ['volumes/demo/stats.json', 'logs/demo/target.log', 'events.json']) {
      expect(archive).to.include(name);
    }
    expect(archive).to.not.include(readFileSync(join(root, 'token'), 'utf8').trim());
    const again = await system.mayactl('dump', '--file', file);
    expect([again.code, again.stderr]).to.satisfy(
      ([code, text]: [number, string]) => code === 4 && text.includes('exists already'),
    );
  });

  it("is made, told, snapshotted and deleted by the original's calls", async () => {
    const made = await latest('volumes/', CLAIM);
    expect(made.status, await made.clone().text()).to.equal(200);
    interface Told {
      readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
      readonly status: { readonly Phase: string };
    }
    let told: Told | null = null;
    await until('a volume that runs', async () => {
      told = (await (await latest('volumes/info/old')).json()) as Told;
      return told.status.Phase === 'Running';
    });
    const { annotations } = told!.metadata;
    expect(annotations['vsm.openebs.io/replica-status']).to.equal('Running,Running');
    const disk = await system.disk('old');
    await disk.write(0, Buffer.alloc(MIB, 7));
    await disk.session.logout();
    const list = (await (await latest('volumes/')).json()) as { items: { metadata: object }[] };
    expect(list.items.map(({ metadata }) => (metadata as { name: string }).name)).to.deep.equal([
      'demo',
      'old',
    ]);
    const stats = (await (await latest('volumes/stats/old')).json()) as Record<string, string>;
    expect(stats).to.include({ Size: String(64 * MIB), TotalWriteBytes: String(MIB) });
    const snapshot = 'metadata:\n  name: s1\nspec:\n  volumeName: old\n';
    expect((await latest('snapshots/create/', snapshot)).status).to.equal(200);
    const snapshots = await (await latest('snapshots/list/old')).json();
    expect(snapshots).to.have.keys('volume-snap-s1.img');
    const reverted = await latest('snapshots/revert/', snapshot);
    expect(await reverted.json()).to.equal('Reverting to snapshot [s1] of volume [old]');
    const gone = await latest('volumes/delete/old');
    expect(await gone.json()).to.equal("Volume 'old' deleted successfully");
    await until('no volume', async () => (await latest('volumes/info/old')).status === 404);
  });
});
