import { expect } from 'chai';
import type { ReplicaView, VolumeView } from '../orchestrator/orchestrator.ts';
import { startScreen } from '../start-screen.ts';
import { connectText } from './commands/connect-text.ts';
import { summaryText } from './commands/status.ts';
import { snapshotTable } from './commands/snapshot.ts';
import { volumeTable, volumeText } from './commands/volume-text.ts';
import { findingsText } from './doctor/doctor.ts';
import { failure, ok } from './doctor/finding.ts';
import { paintStatus, structured, table } from './output.ts';
import { wrap } from '../wrap.ts';

const replica: ReplicaView = {
  id: '00000000-0000-0000-0000-000000000001',
  index: 1,
  role: 'data',
  leaving: false,
  mode: 'in-sync',
  since: null,
  status: 'running',
  node: 'laptop',
  address: 'unix:/run/a',
  directory: '/data/volumes/demo/replica-1',
  lastError: null,
  resync: null,
};

const volume: VolumeView = {
  name: 'demo',
  id: '00000000-0000-0000-0000-000000000000',
  iqn: 'iqn.2016-09.com.openebs:demo',
  portal: '127.0.0.1:3260',
  lun: 0,
  size: 1024 ** 3,
  sizeText: '1 GiB',
  servedSize: null,
  refusal: null,
  status: 'healthy',
  access: 'read-write',
  since: '2026-01-01T00:00:00.000Z',
  reason: null,
  next: null,
  controller: { status: 'running', node: 'laptop' },
  replicaCount: 3,
  inSyncCount: 3,
  replicas: [replica, { ...replica, index: 2 }, { ...replica, index: 3 }],
  sessions: [],
  integrity: null,
  chap: null,
  rebuildBytesPerSecond: null,
  source: null,
  claim: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  generation: 1,
};
const plain = { wide: false, color: false };

function widest(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.length));
}

describe('what people read', () => {
  it('lists volumes in the columns of the original', () => {
    expect(volumeTable([volume], plain)).to.equal(
      'Namespace  Name  Status   Type        Capacity  StorageClass  Access Mode\n' +
        '-          demo  healthy  replicated  1GiB      -             RWO\n',
    );
    expect(volumeTable([], plain)).to.include('mayactl volume create');
  });

  it('says what a clone was made of', () => {
    const source = { volume: 'db', volumeId: volume.id, snapshot: 'monday' };
    const clone = { ...volume, name: 'test', source };
    expect(volumeTable([clone], plain)).to.match(/^- +test +healthy +clone /m);
    expect(volumeTable([clone], { wide: true, color: false })).to.include('db@monday');
    expect(volumeText(clone, plain)).to.match(/^Clone Of +: db@monday$/m);
    expect(volumeText(volume, plain)).not.to.include('Clone');
  });

  it('shows one volume within 80 columns, with its reason and its rebuild', () => {
    const text = volumeText(
      {
        ...volume,
        status: 'degraded',
        reason: `replica-2 is offline (${'words '.repeat(30).trim()}); replica-3 is syncing, 40%`,
        replicas: [
          replica,
          { ...replica, index: 2, mode: 'offline', status: 'restarting', lastError: 'disk gone' },
          {
            ...replica,
            index: 3,
            mode: 'syncing',
            resync: { percent: 40.9, bytesPerSecond: 1024 ** 2, etaSeconds: 7.2 },
          },
        ],
      },
      plain,
    );
    expect(widest(text)).to.be.at.most(80);
    expect(text).to.match(/replica-3 +WO +running +local +laptop +40%/);
    expect(text).to.include('replica-3 [########............] 40%, 1 MiB/s, 8 s left');
    expect(text).to.match(/replica-1 +RW +running/);
    expect(text).to.include('replica-2: disk gone');
  });

  it('prints commands to connect within 80 columns', () => {
    const text = connectText({ ...volume, portal: '127.0.0.1:65535' });
    expect(widest(text)).to.be.at.most(80);
    expect(text).to.include('iscsiadm -m discovery -t sendtargets -p 127.0.0.1:65535');
    expect(text).to.include('iscsi-inq iscsi://127.0.0.1:65535/iqn.2016-09.com.openebs:demo/0');
  });

  it('prints what has to be proved, and where the secrets go', () => {
    const chap = { user: 'alice', mutualUser: 'volume' };
    const text = connectText({ ...volume, chap });
    expect(widest(text)).to.be.at.most(80);
    expect(text).to.include(`SECRET='...'\nMUTUAL_SECRET='...'\n`);
    expect(text).to.include('node.session.auth.username -v alice\n');
    expect(text).to.include('node.session.auth.username_in -v volume\n');
    expect(text).to.include('export LIBISCSI_CHAP_TARGET_PASSWORD="$MUTUAL_SECRET"\n');
    const odd = connectText({ ...volume, chap: { user: "it's 5% & more", mutualUser: null } });
    expect(odd).to.include(`node.session.auth.username -v 'it'\\''s 5% & more'\n`);
    expect(odd).not.to.include('MUTUAL').and.not.to.include('TARGET_');
    expect(volumeText({ ...volume, rebuildBytesPerSecond: 32 * 1024 ** 2 }, plain)).to.match(
      /^Rebuild Limit +: 32 MiB\/s$/m,
    );
    expect(volumeText({ ...volume, chap }, plain)).to.match(
      /^CHAP +: alice, and mutual as volume$/m,
    );
  });

  it('begins with one screen, at most 80 columns and 24 lines', () => {
    const text = startScreen({
      apiUrl: 'http://127.0.0.1:5657',
      wantedApiPort: 5656,
      wantedIscsiPort: 3260,
      dataDirectory: '/home/somebody/.local/share/openebs',
      isDefaultDirectory: true,
      volumes: Array.from({ length: 30 }, (_, i) => ({ ...volume, name: `demo-${i}` })),
      notes: ['demo: port 3260 is busy: the portal is 127.0.0.1:3261 until the next start'],
      damaged: [],
    });
    expect(widest(text)).to.be.at.most(80);
    expect(text.split('\n').length).to.be.at.most(30);
    expect(text).to.include('port 5656 is busy').and.to.include('and 22 more');
    expect(text).to.not.include('dashboard');
  });

  it('says within 80 columns whether what is stored is what was written', () => {
    const scrub = {
      state: 'idle',
      percent: 0,
      bytesPerSecond: 0,
      etaSeconds: null,
      startedAt: null,
      badBlocks: 0,
      divergentBlocks: 0,
      lastCompletedAt: '2026-01-01T00:00:00.000Z',
      nextAt: '2026-01-08T00:00:00.000Z',
    } as const;
    const sound = { checksumErrors: 0, repairedBlocks: 0, divergentBlocks: 0, lostBlocks: 0 };
    const integrity = { ...sound, lastProblem: null, scrub };
    const clean = volumeText({ ...volume, integrity }, plain);
    expect(clean).to.match(/Integrity +: scrubbed 2026-01-01 00:00:00 UTC/);
    const lastProblem = 'replica-2: the block at byte 4096 does not have its checksum';
    const bad = { ...integrity, checksumErrors: 3, repairedBlocks: 2, lostBlocks: 1, lastProblem };
    const text = volumeText({ ...volume, integrity: bad }, plain);
    expect(widest(text)).to.be.at.most(80);
    expect(text.replace(/\s+/g, ' ')).to.include('1 blocks are LOST').and.to.include(lastProblem);
    const running = { ...integrity, scrub: { ...scrub, state: 'running', percent: 40 } as const };
    expect(volumeText({ ...volume, integrity: running }, plain)).to.include('scrub runs, 40%');
  });

  it('shows the whole system within 80 columns, wherever its data is', () => {
    const path = `/home/${'a-long-name/'.repeat(20)}volumes`;
    const text = summaryText(
      {
        version: '0.1.0',
        status: 'healthy',
        startedAt: '2026-01-01T00:00:00.000Z',
        pid: 4_194_304,
        runtime: 'Node.js',
        dataDirectory: '/d',
        volumes: { total: 1, healthy: 1, degraded: 0, unavailable: 0, starting: 0, deleting: 0 },
        volumeBytes: 1024 ** 3,
        nodes: ['one', 'two', 'three'].map((name) => ({
          name: `${name}.rack-17.example.internal`,
          status: 'ready',
        })),
        pools: [{ name: 'default', path, capacityBytes: 2 ** 42 - 1, freeBytes: 2 ** 41 - 1 }],
        damaged: [],
      },
      { url: 'http://127.0.0.1:15656', color: false },
    );
    expect(widest(text)).to.be.at.most(80);
    expect(text).to.match(/2 TiB free of 4 TiB, in\n +\/home\/a-long.*\.\.\..*\/volumes\n/);
  });
  it('gives each finding with its fix on a line of its own', () => {
    const text = findingsText([ok('a', 'fine'), failure('bb', 'not fine', 'do it')], false);
    expect(text).to.equal(
      'ok       a   fine\nerror    bb  not fine\n         fix: do it\n\n1 error, 0 warnings.\n',
    );
  });

  it('keeps columns straight when words are coloured', () => {
    const text = table(
      ['A', 'B'],
      [
        [paintStatus('healthy', true), 'x'],
        ['unavailable', 'y'],
      ],
    );
    const rows = text
      .replace(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g'), '')
      .split('\n');
    expect(rows[1]!.indexOf('x')).to.equal(rows[2]!.indexOf('y'));
    expect(paintStatus('healthy', false)).to.equal('healthy');
  });

  it('gives scripts JSON, YAML and names', async () => {
    expect(await structured('json', { a: 1 }, [])).to.equal('{\n  "a": 1\n}\n');
    expect(await structured('yaml', { a: 1 }, [])).to.equal('a: 1\n');
    expect(await structured('name', {}, ['x', 'y'])).to.equal('x\ny\n');
    expect(await structured('table', {}, [])).to.equal(null);
  });

  it('breaks lines at spaces only', () => {
    expect(wrap('aa bb cc', { width: 7, indent: '  ' })).to.equal('  aa bb\n  cc');
    expect(wrap('aaaaaaaaaaaa b', { width: 5, indent: '' })).to.equal('aaaaaaaaaaaa\nb');
  });
});

describe('the table of snapshots', () => {
  it('fits 80 columns with the longest names, and says what deleting gives back', () => {
    const snapshot = (name: string, freedBytes: number | null) => ({
      name,
      volume: 'db',
      createdAt: '2026-01-02T03:04:05.678Z',
      sizeBytes: 1024 ** 3,
      freedBytes,
    });
    const text = snapshotTable('db', [
      snapshot('monday', 3 * 1024 ** 2),
      snapshot('x'.repeat(63), 64 * 1024 ** 4),
      snapshot('new', null),
    ]);
    const lines = text.trimEnd().split('\n');
    expect(lines[1]).to.match(/^monday +2026-01-02 03:04:05 +3 MiB$/);
    expect(lines[3]).to.match(/ -$/);
    for (const line of lines) expect(line.length).to.be.at.most(80);
    expect(snapshotTable('db', [])).to.include('mayactl snapshot create db NAME');
  });
});
