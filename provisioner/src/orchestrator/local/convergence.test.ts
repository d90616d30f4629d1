import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Convergence } from './convergence.ts';
import { newRecord } from './record.ts';
import { parseTargetStatus } from './target-status.ts';

const MIB = 1024 ** 2;

describe('a volume that becomes what its record says', () => {
  let directory: string;
  let target: Server;
  let refusal: string | null;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'openebs-converge-'));
    target = createServer((_, response) => {
      response.writeHead(refusal === null ? 200 : 409);
      response.end(JSON.stringify({ detail: refusal }));
    });
    await new Promise<void>((resolve) => target.listen(join(directory, 's'), resolve));
  });
  afterEach(async () => {
    await new Promise((resolve) => target.close(resolve));
    rmSync(directory, { recursive: true });
  });

  it('keeps what the target refuses until it takes it, and tells it once', async () => {
    const told: string[] = [];
    const convergence = new Convergence({
      remove: () => Promise.resolve(),
      refused: (why) => told.push(why),
    });
    const record = newRecord(
      { name: 'db', sizeBytes: 2 * MIB, replicas: 1 },
      { portalPort: 1, idempotencyKey: null, createdAt: new Date(0) },
    );
    const id = record.members[0]!.id;
    const run = (sizeBytes: number): Promise<void> =>
      convergence.run({
        record,
        status: {
          ...parseTargetStatus('{"state":"healthy"}')!,
          replicas: [
            { id, address: 'a', mode: 'in-sync', since: null, lastError: null, resync: null },
          ],
          voters: [id],
          sizeBytes,
        },
        socket: join(directory, 's'),
        addressOf: () => 'a',
      });
    expect(convergence.refusal).to.equal(null);
    refusal = 'try again when it serves';
    await run(MIB);
    await run(MIB);
    expect(convergence.refusal).to.equal('try again when it serves');
    expect(told).to.deep.equal(['try again when it serves']);
    refusal = null;
    await run(MIB);
    expect(convergence.refusal).to.equal(null);
    refusal = 'try again when it serves';
    await run(MIB);
    expect(told).to.have.length(2);
    // Nothing is asked for any more.
    await run(2 * MIB);
    expect(convergence.refusal).to.equal(null);
  });
});
