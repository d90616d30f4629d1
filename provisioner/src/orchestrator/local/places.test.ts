import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { MAX_SOCKET_PATH_BYTES } from '../../limits.ts';
import { DataDirectoryBusyError, isDataDirectoryLocked, lockDataDirectory } from './data-lock.ts';
import { findFreePort, tryPort } from './ports.ts';
import { openRuntimeDirectory } from './runtime-directory.ts';

describe('places of the local orchestrator', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'openebs-places-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('lock a data directory once, by any path, and again when it is released', async () => {
    const lock = await lockDataDirectory(directory);
    const link = `${directory}-link`;
    symlinkSync(directory, link);
    for (const path of [directory, link]) {
      const error: unknown = await lockDataDirectory(path).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(DataDirectoryBusyError);
    }
    rmSync(link);
    expect(await isDataDirectoryLocked(directory)).to.equal(true);
    await new Promise((resolve) => lock.close(resolve));
    expect(await isDataDirectoryLocked(directory)).to.equal(false);
    const again = await lockDataDirectory(directory);
    again.close();
  });

  it('give a private runtime directory, the same for the same data directory', () => {
    const first = openRuntimeDirectory('/data/a', [directory]);
    expect(openRuntimeDirectory('/data/a', [directory])).to.equal(first);
    expect(openRuntimeDirectory('/data/b', [directory])).to.not.equal(first);
    expect(statSync(first).mode & 0o777).to.equal(0o700);
  });

  it('pass over a parent that is too long for a socket path or not writable', () => {
    const long = join(directory, 'x'.repeat(MAX_SOCKET_PATH_BYTES));
    const path = openRuntimeDirectory('/data/a', [undefined, long, '/proc/nowhere', directory]);
    expect(path.startsWith(`${directory}/openebs-`)).to.equal(true);
  });

  it('refuse a runtime directory that others may enter', () => {
    const path = openRuntimeDirectory('/data/a', [directory]);
    chmodSync(path, 0o755);
    expect(() => openRuntimeDirectory('/data/a', [directory])).to.throw(/not a private directory/);
    rmSync(path, { recursive: true });
    mkdirSync(`${path}-other`, { mode: 0o700 });
    symlinkSync(`${path}-other`, path);
    expect(() => openRuntimeDirectory('/data/a', [directory])).to.throw(/not a private directory/);
  });

  it('pass over busy and taken ports', async () => {
    const busy = createServer();
    await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
    const { port } = busy.address() as AddressInfo;
    expect(await tryPort('127.0.0.1', port)).to.equal(null);
    const found = await findFreePort('127.0.0.1', port, new Set([port + 1]));
    expect(found).to.not.be.oneOf([port, port + 1]);
    expect(await findFreePort('127.0.0.1', 0, new Set())).to.be.greaterThan(0);
    await new Promise((resolve) => busy.close(resolve));
  });
});
