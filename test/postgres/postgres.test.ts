/**
 * Goal: a database on a replicated volume keeps every transaction that it has said to be committed:
 * while its target and replicas are killed under it, which its users see as a pause and no more;
 * and when everything dies at once, the database and the machine that it runs on among it.
 *
 * Method: PostgreSQL as Debian ships it, on ext4 on the volume (mounted-disk.ts). pgbench counts up
 * for each client and writes down which transactions it was told to be committed; each of them
 * changes two tables, so that half of one would be seen as well.
 */
import { chmodSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { freePort } from '../support/free-port.ts';
import { runTool } from '../support/tool.ts';
import { useVolume } from '../support/volume-fixture.ts';
import { MountedDisk } from './mounted-disk.ts';
import { PostgresServer } from './postgres-server.ts';

const SIZE_BYTES = 512 * 2 ** 20;
const ACCOUNTS = 100_000;
const CLIENTS = 4;
const SECONDS = 15;
const OUTAGE_MS = 1_000;
/** No client comes so far in one run. */
const NEXT_RUN = 1_000_000;

/** `n` is a variable of each client, and lives as long as its run. */
const TRANSACTION = `
\\set n :n + 1
\\set account random(1, ${ACCOUNTS})
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :account;
INSERT INTO done VALUES (:client_id, :n);
COMMIT;
`;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('PostgreSQL on a volume', function () {
  this.timeout(240_000);
  // What follows a step that failed would fail for the same reason.
  this.bail(true);
  const fixture = useVolume(async () => ({
    sizeBytes: SIZE_BYTES,
    targetFlags: { listen: `127.0.0.1:${await freePort()}` },
  }));
  let disk: MountedDisk;
  let database: PostgresServer;
  let notes = '';

  before(async () => {
    const { directory, volume } = fixture;
    chmodSync(directory, 0o755);
    disk = new MountedDisk(directory, {
      portal: volume.target.ready.portal ?? '',
      iqn: volume.iqn,
    });
    notes = `${directory}/notes`;
    database = new PostgresServer(`${disk.path}/data`, `${directory}/socket`);
    database.own(notes);
    writeFileSync(`${notes}/transaction.sql`, TRANSACTION);
    await disk.attach();
    await runTool('mkfs.ext4', ['-q', disk.device]);
    await disk.mount();
    await database.initialise();
    await database.start();
    await database.bench(['--initialize', '--quiet', '--scale=1'], notes);
    await database.query('CREATE TABLE done (client int, n int, PRIMARY KEY (client, n))');
  });

  after(async () => {
    await database.kill9();
    await disk.lose();
  });

  /** Transactions that pgbench was told to be committed, by client. */
  const load = async (
    name: string,
    from: number,
  ): Promise<{ code: number | null; output: string; committed: number[] }> => {
    const log = ['--log', `--log-prefix=${notes}/${name}`];
    const script = ['--no-vacuum', '-f', `${notes}/transaction.sql`, '-D', `n=${from}`];
    const size = [`--client=${CLIENTS}`, `--time=${SECONDS}`];
    const result = await database.bench([...log, ...script, ...size], notes);
    const committed = Array.from({ length: CLIENTS }, () => 0);
    for (const file of globSync(`${notes}/${name}.*`)) {
      for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
        const [client = 0, count = 0] = line.split(' ').map(Number);
        committed[client] = Math.max(committed[client] ?? 0, count);
      }
    }
    const sum = committed.reduce((total, count) => total + count, 0);
    console.log(`      ${sum} transactions were said to be committed`);
    return { ...result, committed };
  };

  const expectCommitted = async (from: number, committed: readonly number[]): Promise<void> => {
    for (const [client, count] of committed.entries()) {
      const numbers = await database.query(
        `SELECT n FROM done WHERE client = ${client} AND n > ${from} AND n <= ${from + count}`,
      );
      expect(numbers.length, `client ${client}`).to.equal(count);
    }
    const [both] = await database.query(
      'SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT count(*) FROM done)',
    );
    const [accounts, done] = (both ?? '').split('|');
    expect(accounts, 'of each transaction both halves or none').to.equal(done);
  };

  it('goes on after a pause when the target is killed, and a replica', async () => {
    const { volume } = fixture;
    const running = load('killed', 0);
    await pause(3_000);
    await volume.target.daemon.kill9();
    await pause(OUTAGE_MS);
    await volume.startTarget();
    await pause(2_000);
    await Promise.all([volume.target.daemon.kill9(), volume.replicas[1]?.daemon.kill9()]);
    await pause(OUTAGE_MS);
    await Promise.all([volume.startReplica(1), volume.startTarget()]);
    const { code, output, committed } = await running;
    expect(code, output).to.equal(0);
    expect(output).to.match(/number of failed transactions: 0 /);
    for (const count of committed) expect(count).to.be.greaterThan(0);
    await expectCommitted(0, committed);
  });

  it('has all that was committed after everything was killed, its own machine too', async () => {
    const { volume } = fixture;
    const running = load('lost', NEXT_RUN);
    await pause(4_000);
    await Promise.all([
      volume.target.daemon.kill9(),
      ...volume.replicas.map((replica) => replica?.daemon.kill9()),
    ]);
    // The file system's machine first: what waits for the volume would wait on.
    await disk.lose();
    await database.kill9();
    const { code, committed } = await running;
    expect(code).to.not.equal(0);
    for (const count of committed) expect(count).to.be.greaterThan(0);
    await volume.start();
    await disk.attach();
    await disk.mount();
    await database.start();
    await expectCommitted(NEXT_RUN, committed);
  });

  it('leaves pages and a file system without a fault, and replicas that are the same', async () => {
    const { volume } = fixture;
    await database.stop();
    await database.mustRun('pg_checksums', ['--check', '-D', `${disk.path}/data`]);
    await disk.unmount();
    await runTool('e2fsck', ['-f', '-n', disk.device]);
    await disk.detach();
    await volume.untilHealthy();
    await volume.stop();
    const [first = '', ...others] = volume.imagePaths();
    for (const image of others) await runTool('cmp', [`--bytes=${SIZE_BYTES}`, first, image]);
  });
});
