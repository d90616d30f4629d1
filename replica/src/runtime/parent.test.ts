import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';

const MODULE = new URL('./parent.ts', import.meta.url).href;
const DAEMON = `
  const { stopWithParent } = await import(${JSON.stringify(MODULE)});
  stopWithParent(() => { console.log('stopping'); process.exit(7); });
  console.log('ready');
  setInterval(() => {}, 1000);
`;

function daemon(env: Record<string, string>) {
  return spawn(process.execPath, ['--input-type=module', '--eval', DAEMON], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
}

describe('a daemon of a supervisor', () => {
  it('stops once when its standard input ends', async () => {
    const child = daemon({ OPENEBS_EXIT_ON_STDIN_EOF: '1' });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await once(child.stdout, 'data');
    child.stdin.end();
    expect(await once(child, 'close')).to.deep.equal([7, null]);
    expect(output).to.equal('ready\nstopping\n');
  });

  it('stays when nobody asked for that', async () => {
    const child = daemon({ OPENEBS_EXIT_ON_STDIN_EOF: '' });
    await once(child.stdout, 'data');
    child.stdin.end();
    child.kill('SIGTERM');
    expect(await once(child, 'close')).to.deep.equal([null, 'SIGTERM']);
  });
});
