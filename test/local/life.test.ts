/**
 * Goal: a person who types `npm start` and `mayactl` has volumes, and sees what happens.
 * Method: the real programs with real daemons, read as a person and as a script read them.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { LocalSystem, isAlive, type Volume } from './local-system.ts';

function widest(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.length));
}

describe('a system on one host', function () {
  this.timeout(120_000);
  let root: string;
  let system: LocalSystem;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-life-'));
    system = await LocalSystem.start(join(root, 'd'));
  });
  after(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  it('begins with a demo volume of three replicas, and says so on one screen', () => {
    const screen = system.output;
    expect(screen).to.match(/API server {2}http:\/\/127\.0\.0\.1:\d+/);
    expect(screen).to.match(/volume {6}demo {2}1 GiB, 3 of 3 replicas in sync\n/);
    expect(screen).to.match(/iqn\.2016-09\.com\.openebs:demo at 127\.0\.0\.1:\d+/);
    expect(screen).to.include('volume connect demo').and.to.include(join(root, 'd'));
    expect(screen).to.not.include('dashboard');
    expect(screen.split('\n').length).to.be.at.most(24);
  });

  it('gives a script everything of a volume', async () => {
    const volume = await system.volume('demo');
    expect(volume).to.include({ name: 'demo', size: 1024 ** 3, status: 'healthy', reason: null });
    expect(volume.portal).to.match(/^127\.0\.0\.1:\d+$/);
    expect(volume.replicas.map(({ mode }) => mode)).to.deep.equal(Array(3).fill('in-sync'));
    for (const { directory } of volume.replicas) expect(existsSync(directory)).to.equal(true);
  });

  it('creates, lists, shows and deletes with mayactl', async () => {
    const created = await system.mayactl(
      'volume',
      'create',
      'db',
      '--size',
      '100MB',
      '--replicas',
      '2',
    );
    expect(created.code, created.stderr).to.equal(0);
    expect(created.stdout).to.include('volume db serves; its size was rounded up to');
    const list = await system.mayactl('volume', 'list');
    expect(list.stdout).to.match(
      /^Namespace {2}Name {2}Status +Type +Capacity +StorageClass +Access Mode\n/,
    );
    expect(list.stdout).to.match(/- +db +healthy +replicated/);
    const info = await system.mayactl('volume', 'info', 'db');
    expect(info.stdout).to.match(/NAME +ACCESSMODE +STATUS +IP +NODE/);
    expect(info.stdout).to.match(/witness +vote +running/);
    const names = await system.mayactl('volume', 'list', '-o', 'name');
    expect(names.stdout).to.equal('db\ndemo\n');
    const { directory } = (await system.volume('db')).replicas[0]!;
    const unasked = await system.mayactl('volume', 'delete', 'db');
    expect(unasked.code).to.equal(2);
    expect(unasked.stderr).to.include('--yes');
    expect((await system.mayactl('volume', 'delete', 'db', '--yes')).code).to.equal(0);
    expect(existsSync(directory)).to.equal(false);
    expect(readdirSync(join(root, 'd', 'volumes'))).to.deep.equal(['demo']);
    expect([...system.daemons().keys()].filter((name) => name.startsWith('db'))).to.deep.equal([]);
  });

  it('serves one to five copies, each volume at a portal of its own', async () => {
    const portals = new Set<string>([(await system.volume('demo')).portal]);
    for (const replicas of [1, 4, 5]) {
      const name = `r${replicas}`;
      const args = ['volume', 'create', name, '--size', '16MiB', '--replicas', String(replicas)];
      const created = await system.mayactl(...args);
      expect(created.code, created.stderr).to.equal(0);
      const volume = await system.volume(name);
      expect(volume).to.include({ replicaCount: replicas, inSyncCount: replicas });
      expect(portals.has(volume.portal)).to.equal(false);
      portals.add(volume.portal);
      const disk = await system.disk(name);
      expect(await disk.capacity()).to.equal(16 * 1024 ** 2);
      await disk.session.logout();
    }
    for (const name of ['r1', 'r4', 'r5']) {
      expect((await system.mayactl('volume', 'delete', name, '--yes')).code).to.equal(0);
    }
  });

  it('does not delete a volume under its initiator, unless forced', async () => {
    await system.mayactl('volume', 'create', 'used', '--size', '1MiB', '--replicas', '1');
    const disk = await system.disk('used');
    const refused = await system.mayactl('volume', 'delete', 'used', '--yes');
    expect(refused.code).to.equal(4);
    expect(refused.stderr).to.include('iqn.2016-09.com.openebs:test').and.to.include('--force');
    const data = Buffer.alloc(4096, 7);
    await disk.write(0, data);
    expect((await disk.read(0, 4096)).equals(data)).to.equal(true);
    const forced = await system.mayactl('volume', 'delete', 'used', '--yes', '--force');
    expect(forced.code, forced.stderr).to.equal(0);
    await disk.session.logout().catch(() => undefined);
  });

  it('exits as documented, with words that lead on', async () => {
    const cases: readonly [string[], number, RegExp][] = [
      [['volume', 'info', 'none'], 3, /no volume none[^]*next: mayactl --data-dir \S+ volume list/],
      [['volume', 'delete', 'none', '--yes'], 3, /no volume none/],
      [['volume', 'connect', 'none'], 3, /no volume none/],
      [['volume', 'create', 'demo', '--size', '1GiB'], 4, /already[^]*next:/],
      [['volume', 'create', 'Demo', '--size', '1GiB'], 2, /lower-case/],
      [['volume', 'create', 'x', '--size', '65TiB'], 2, /at most 64 TiB/],
      [['volume', 'create', 'x', '--size', 'big'], 2, /1GiB/],
      [['volume', 'create', 'x'], 2, /--size/],
      [['volume', 'create', 'x', '--size', '1GiB', '--replicas', '6'], 2, /1 to 5/],
      [['volum'], 2, /unknown command/],
    ];
    for (const [args, code, words] of cases) {
      const outcome = await system.mayactl(...args);
      expect(outcome.stderr, args.join(' ')).to.match(words);
      expect(outcome.code, args.join(' ')).to.equal(code);
    }
  });

  it('prints commands that connect, in 80 columns', async () => {
    const { portal, iqn } = await system.volume('demo');
    const { stdout } = await system.mayactl('volume', 'connect', 'demo');
    expect(widest(stdout)).to.be.at.most(80);
    expect(stdout).to.include(`iscsiadm -m discovery -t sendtargets -p ${portal}`);
    const { stdout: url } = await system.mayactl('volume', 'connect', 'demo', '-o', 'name');
    expect(url).to.equal(`iscsi://${portal}/${iqn}/0\n`);
  });

  it('shows itself on one screen, and what is wrong with the host', async () => {
    const status = await system.mayactl('status');
    expect(status.code).to.equal(0);
    expect(status.stdout).to.match(/Status +: healthy/);
    const doctor = await system.mayactl('doctor');
    expect(doctor.stdout).to.match(/ok +volume demo +is healthy/);
    expect(doctor.stdout).to.match(/\d+ errors?, \d+ warnings?\.|All is well\./);
  });

  it('answers the API: operations, events, metrics', async () => {
    const headers = { 'idempotency-key': 'once' };
    const body = { name: 'api', sizeBytes: 1024 ** 2, replicas: 1 };
    const created = await system.api('/v1/volumes', { method: 'POST', body, headers });
    expect(created.status).to.equal(202);
    const location = created.headers.get('location') ?? '';
    let operation: { status: string };
    do {
      await delay(50);
      operation = (await (await system.api(location)).json()) as typeof operation;
    } while (operation.status === 'running');
    expect(operation.status).to.equal('succeeded');
    const again = await system.api('/v1/volumes', { method: 'POST', body, headers });
    expect(again.headers.get('location')).to.equal(location);
    const events = (await (await system.api('/v1/volumes/api/events')).json()) as {
      items: { kind: string }[];
    };
    expect(events.items.map(({ kind }) => kind))
      .to.include('created')
      .and.to.include('status');
    const metrics = await (await system.api('/metrics')).text();
    expect(metrics).to.include('openebs_volume_state{volume="api",state="healthy"} 1');
    expect(metrics.match(/^openebs_volume_state\{volume="api",state="healthy"\}/gm)).to.have.length(
      1,
    );
    expect(metrics).to.match(/^openebs_volume_[a-z_]+\{.*volume="demo"/m);
    expect(metrics).to.match(/^openebs_replica_[a-z_]+\{.*volume="demo",replica="replica-1"/m);
    await system.api('/v1/volumes/api', { method: 'DELETE' });
  });

  it('streams events to whoever waits for them', async () => {
    const stream = await system.api('/v1/events', { headers: { accept: 'text/event-stream' } });
    const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    await system.mayactl('volume', 'create', 'seen', '--size', '1MiB', '--replicas', '1');
    while (!text.includes('"volume":"seen"')) text += (await reader.read()).value ?? '';
    await reader.cancel();
    expect(text).to.match(/id: \d+\nevent: created\ndata: \{/);
    await system.mayactl('volume', 'delete', 'seen', '--yes');
  });

  it('says what happens, a line for each change', async () => {
    await system.saying(/\d\d:\d\d:\d\d {3}db: created, 95\.37 MiB, 2 replicas\n/);
    await system.saying(/db: deleted with its data\n/);
  });

  it('stops at Ctrl-C with all its processes, and keeps its volumes', async () => {
    const before = await system.volume('demo');
    await system.mayactl('volume', 'create', 'kept', '--size', '1MiB', '--replicas', '1');
    await system.mayactl('volume', 'delete', 'demo', '--yes');
    const kept = await system.volume('kept');
    const pids = [...system.daemons().values()];
    expect(await system.stop()).to.equal(0);
    expect(pids.filter(isAlive)).to.deep.equal([]);
    expect(system.output).to.include('Stopped.');
    const gone = await system.mayactl('volume', 'list');
    expect(gone.code).to.equal(5);
    expect(gone.stderr).to.include('npm start -- --data-dir');
    system = await LocalSystem.start(join(root, 'd'));
    const list = JSON.parse((await system.mayactl('volume', 'list', '-o', 'json')).stdout) as {
      items: Volume[];
    };
    expect(list.items.map(({ name }) => name)).to.deep.equal(['kept']);
    expect(list.items[0]).to.include({ id: kept.id, portal: kept.portal });
    expect(before.id).to.not.equal(kept.id);
  });
});
