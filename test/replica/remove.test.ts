import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { REPOSITORY, startReplica } from '../support/daemons.ts';

const PROGRAM = 'replica/src/remove-main.ts';
const VOLUME_ID = '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279';

/** Its exit code and what it said. */
const remove = async (args: readonly string[]): Promise<{ code: number; text: string }> => {
  const child = spawn(process.execPath, [join(REPOSITORY, PROGRAM), ...args]);
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, 'exit')) as [number];
  return { code, text };
};

describe('removing a copy from its pool', () => {
  let pool: string;

  beforeEach(() => {
    pool = mkdtempSync(join(tmpdir(), 'openebs-pool-'));
  });

  afterEach(() => rmSync(pool, { recursive: true }));

  it('waits for the replica that has it open, then leaves nothing of the volume', async () => {
    const dir = join(pool, 'pvc-1', 'replica-1', 'data');
    mkdirSync(join(pool, 'pvc-1', 'replica-1'), { recursive: true });
    mkdirSync(join(pool, 'pvc-2', 'replica-1'), { recursive: true });
    const flags = { dir, 'volume-id': VOLUME_ID, size: '16MiB' };
    const replica = startReplica({
      ...flags,
      listen: `unix:${pool}/d`,
      control: `unix:${pool}/c`,
    });
    await replica.ready;
    const removing = remove(['--pool', pool, '--volume', 'pvc-1', '--replica', '1']);
    const early = await Promise.race([
      removing,
      new Promise<'waits'>((resolve) => setTimeout(() => resolve('waits'), 1_500)),
    ]);
    expect(early).to.equal('waits');
    expect(existsSync(join(dir, 'superblock'))).to.equal(true);
    await replica.stop();
    expect((await removing).code).to.equal(0);
    expect(existsSync(join(pool, 'pvc-1'))).to.equal(false);
    expect(existsSync(join(pool, 'pvc-2', 'replica-1'))).to.equal(true);
  });

  it('leaves the copies beside it alone, and does not mind that it is gone already', async () => {
    mkdirSync(join(pool, 'pvc-1', 'replica-2'), { recursive: true });
    const args = ['--pool', pool, '--volume', 'pvc-1', '--replica', '1'];
    expect((await remove(args)).code).to.equal(0);
    expect(existsSync(join(pool, 'pvc-1', 'replica-2'))).to.equal(true);
  });

  it('cannot be led out of the pool', async () => {
    for (const volume of ['..', '../x', 'a/b', '']) {
      const { code, text } = await remove(['--pool', pool, '--volume', volume, '--replica', '1']);
      expect(code, volume).to.equal(2);
      expect(text).to.include(volume === '' ? 'is empty' : 'no name of a volume');
    }
    const wrong = ['--pool', pool, '--volume', 'pvc-1', '--replica', '../1'];
    expect((await remove(wrong)).code).to.equal(2);
  });
});
