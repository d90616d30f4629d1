/**
 * Goal: a replica tells a new target for how long the one before may still answer reads.
 * Method: real daemons on TCP and unix sockets, a raw client in the roles of both targets.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Daemon } from '../support/daemons.ts';
import { startReplica, temporaryDirectory } from '../support/daemons.ts';
import { ReplicaClient } from '../support/replica-client.ts';

const LEASE_MS = 2_000;

describe('the read lease of a replica daemon', () => {
  const volumeId = randomUUID();
  const directory = temporaryDirectory();
  let daemon: Daemon;
  let address: string;
  let nextEpoch = 1;
  let nextName = 1;

  const start = async (kind: 'tcp' | 'unix', name = `r${nextName++}`): Promise<void> => {
    daemon = startReplica({
      dir: join(directory.path, name),
      'volume-id': volumeId,
      size: '16MiB',
      ...(kind === 'unix' ? { listen: `unix:${directory.path}/${name}.sock` } : {}),
    });
    address = (await daemon.ready).listen!;
  };

  afterEach(() => daemon.stop());
  after(() => directory.remove());

  /** What the replica tells the target that is activated now. */
  const activate = async (): Promise<{ client: ReplicaClient; remainingMs: number }> => {
    const client = await ReplicaClient.connect(address, volumeId);
    await client.hello();
    const { message } = await client.promise({ epoch: nextEpoch++, session: 1 });
    if (message?.kind !== 'promised') throw new Error('the replica did not promise');
    return { client, remainingMs: message.state.leaseRemainingMs };
  };

  it('is held by nobody before the first target', async () => {
    await start('tcp');
    const { client, remainingMs } = await activate();
    expect(remainingMs).to.equal(0);
    client.end();
  });

  it('runs on while the target before is connected, and after its TCP connection was lost', async () => {
    await start('tcp');
    const first = await activate();
    const second = await activate();
    expect(second.remainingMs).to.be.within(LEASE_MS / 2, LEASE_MS);
    second.client.end();
    await second.client.closed;
    const third = await activate();
    expect(third.remainingMs).to.be.within(LEASE_MS / 2, LEASE_MS);
    first.client.end();
    third.client.end();
  });

  it('runs from what the target sent last, not from when it is replaced', async () => {
    await start('tcp');
    const first = await activate();
    await sleep(LEASE_MS / 2);
    const second = await activate();
    expect(second.remainingMs).to.be.at.most(LEASE_MS / 2);
    first.client.end();
    second.client.end();
  });

  it('ends at once when the target releases it', async () => {
    await start('tcp');
    const first = await activate();
    first.client.frame({ kind: 'release' });
    await first.client.closed;
    const second = await activate();
    expect(second.remainingMs).to.equal(0);
    second.client.end();
  });

  it('ends at once when the unix socket of the target is closed', async () => {
    await start('unix');
    const first = await activate();
    first.client.end();
    await first.client.closed;
    const second = await activate();
    expect(second.remainingMs).to.equal(0);
    second.client.end();
  });

  it('is assumed by a replica that was started anew', async () => {
    await start('unix', 'restarted');
    (await activate()).client.end();
    await daemon.kill9();
    await start('unix', 'restarted');
    const { client, remainingMs } = await activate();
    expect(remainingMs).to.be.within(1, LEASE_MS);
    client.end();
  });
});
