import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { awaitLeftovers, markProcess } from './leftovers.ts';
import { LogFile } from './log-file.ts';
import { SupervisedProcess, type ProcessChange } from './supervised-process.ts';

/** A daemon in a few lines: answers on its socket, ends as it is told. */
const DAEMON = `
  const [socket, mode] = process.argv.slice(1);
  if (mode === 'broken') {
    console.log(JSON.stringify({ level: 'fatal', msg: 'the disk is on fire' }));
    process.exit(1);
  }
  require('node:http').createServer((_, r) => r.end('{}')).listen(socket);
  process.stdin.on('end', () => process.exit(0)).resume();
  if (mode === 'deaf') process.on('SIGTERM', () => {});
`;

describe('supervised process', function () {
  this.timeout(20_000);
  let directory: string;
  let changes: ProcessChange[];
  let process_: SupervisedProcess | null;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'openebs-sup-'));
    mkdirSync(join(directory, 'run'));
    changes = [];
    process_ = null;
  });
  afterEach(async () => {
    await process_?.stop();
    rmSync(directory, { recursive: true });
  });

  function supervise(mode: string, stopTimeoutMs = 10_000): SupervisedProcess {
    const socket = join(directory, 's');
    process_ = new SupervisedProcess(
      {
        name: 'v.replica-1',
        commandLine: () => ({
          command: process.execPath,
          args: ['--eval', DAEMON, '--', socket, mode],
        }),
        env: process.env,
        controlSocket: socket,
        sockets: [socket],
        log: new LogFile(join(directory, 'logs', 'x.log')),
        markDirectory: join(directory, 'run'),
        stopTimeoutMs,
      },
      (change) => changes.push(change),
    );
    process_.start();
    return process_;
  }

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await delay(5);
  }

  it('counts as running once it answers, and as stopped once it is gone', async () => {
    const child = supervise('ok');
    expect(child.status).to.equal('starting');
    await until(() => child.status === 'running');
    expect(readdirSync(join(directory, 'run'))).to.deep.equal(['v.replica-1.json']);
    expect(await child.stop()).to.equal(false);
    expect(child.status).to.equal('stopped');
    expect(readdirSync(join(directory, 'run'))).to.deep.equal([]);
  });

  it('is started again after it was killed, over the socket that it left', async () => {
    const child = supervise('ok');
    await until(() => child.status === 'running');
    const first = child.pid;
    process.kill(first!, 'SIGKILL');
    await until(() => child.pid !== first && child.status === 'running');
    expect(changes.map(({ kind }) => kind)).to.deep.equal(['running', 'ended', 'running']);
    expect(changes[1]).to.include({ reason: 'killed by SIGKILL' });
    expect(child.restarts).to.equal(1);
  });

  it('tells in its own words why it ends, and waits longer each time', async () => {
    const child = supervise('broken');
    await until(() => changes.length === 3);
    expect(child.lastFailure).to.equal('the disk is on fire');
    expect(child.status).to.equal('restarting');
    expect(child.failures).to.equal(3);
    const delays = changes.map((change) => (change.kind === 'ended' ? change.retryMs : 0));
    expect(delays).to.deep.equal([100, 200, 400]);
  });

  it('is killed when it does not end in time', async () => {
    const child = supervise('deaf', 100);
    await until(() => child.status === 'running');
    expect(await child.stop()).to.equal(true);
  });

  it('cannot be started at all: the reason is told and it is tried again', async () => {
    const child = new SupervisedProcess(
      {
        name: 'v.target',
        commandLine: () => ({ command: join(directory, 'missing'), args: [] }),
        env: {},
        controlSocket: join(directory, 's'),
        sockets: [],
        log: new LogFile(join(directory, 'x.log')),
        markDirectory: join(directory, 'run'),
        stopTimeoutMs: 100,
      },
      (change) => changes.push(change),
    );
    child.start();
    await until(() => changes.length === 2);
    await child.stop();
    expect(child.lastFailure).to.include('ENOENT');
  });

  it('is waited for by the next system when this one was killed', async () => {
    const child = supervise('ok');
    await until(() => child.status === 'running');
    const run = join(directory, 'run');
    let waited = 0;
    const gone = awaitLeftovers(run, { waitMs: 200, onWait: (count) => (waited = count) });
    await gone;
    expect(waited).to.equal(1);
  });

  it('is not taken for a leftover when only its number was used before', async () => {
    const run = join(directory, 'run');
    markProcess(run, 'v.target', process.pid);
    const file = join(run, 'v.target.json');
    const mark = JSON.parse(readFileSync(file, 'utf8')) as { startTicks: string };
    writeFileSync(file, JSON.stringify({ pid: process.pid, startTicks: `${mark.startTicks}0` }));
    expect(await awaitLeftovers(run, { waitMs: 50 })).to.equal(0);
    expect(existsSync(file)).to.equal(false);
  });
});
