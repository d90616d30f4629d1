import { expect } from 'chai';
import { EXTENT_BYTES } from '../protocol/types.ts';
import { fs, path } from '../runtime/builtin.ts';
import { openStore } from './open.ts';
import {
  RealStore,
  rejection,
  removeDirectory,
  temporaryDirectory,
} from './real-store.test-support.ts';
import type { StoreOptions } from './types.ts';

const { spawnSync } = process.getBuiltinModule('node:child_process');

const SIZE_BYTES = 64 * EXTENT_BYTES;
const IS_ROOT = process.getuid?.() === 0;

function run(command: string, ...args: string[]): string | null {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : null;
}

/**
 * Opens a store in another process, perhaps as another user; gives the code and message of the
 * error.
 */
function openElsewhere(options: StoreOptions, uid = 0): { code: string; message: string } {
  const script = `
    const { openStore } = await import(${JSON.stringify(import.meta.resolve('./open.ts'))});
    if (${uid} !== 0) { process.setgroups([]); process.setgid(${uid}); process.setuid(${uid}); }
    const options = ${JSON.stringify(options)};
    try { await (await openStore(options)).close(); console.log('{"code":"none"}'); }
    catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })); }`;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as { code: string; message: string };
}

/** Method: real directories, file systems and processes; what needs root is left out without it. */
describe('a store that cannot be opened', () => {
  let one: RealStore;

  beforeEach(() => {
    one = new RealStore(temporaryDirectory(), SIZE_BYTES);
  });

  afterEach(async () => {
    await one.close();
    removeDirectory(one.directory);
  });

  it('because another process has it names that process', async () => {
    await one.open();
    const { code, message } = openElsewhere(one.options());
    expect(code).to.equal('LOCKED');
    expect(message).to.include(`Process ${process.pid} has`);
    const twice = await rejection(openStore(one.options()));
    expect(twice.code).to.equal('LOCKED');
    await one.close();
    expect(openElsewhere(one.options()).code).to.equal('none');
  });

  it('because the directory is not there, or holds no store', async () => {
    const missing = path.join(one.directory, 'missing');
    const gone = await rejection(openStore({ directory: missing, create: null }));
    expect(gone.code).to.equal('NOT_A_STORE');
    expect(gone.message).to.match(/does not exist.*Check the path/);
    const empty = await rejection(openStore({ directory: one.directory, create: null }));
    expect(empty.code).to.equal('NOT_A_STORE');
  });

  it('because the path leads through a file', async () => {
    const file = path.join(one.directory, 'file');
    fs.writeFileSync(file, '');
    for (const directory of [file, path.join(file, 'below')]) {
      const error = await rejection(openStore({ ...one.options(), directory }));
      expect(error.code).to.equal('NOT_A_STORE');
    }
  });

  it('because the directory belongs to another volume, size or role', async () => {
    await one.open();
    await one.close();
    const { create } = one.options();
    const open = (change: object): Promise<unknown> =>
      openStore({ directory: one.directory, create: { ...create!, ...change } });
    const wrong = await rejection(open({ volumeId: 'other' }));
    expect(wrong.code).to.equal('WRONG_VOLUME');
    expect(wrong.message).to.match(/volume volume, not .* other. Give this copy a directory/);
    expect((await rejection(open({ role: 'witness' }))).code).to.equal('WRONG_VOLUME');
    expect((await rejection(open({ sizeBytes: SIZE_BYTES / 2 }))).code).to.equal('WRONG_SIZE');
  });

  it('because a part is missing or was cut, instead of reading zeroes there', async () => {
    await one.open();
    one.write(1, 0);
    await one.close();
    const meta = path.join(one.directory, '000001.meta');
    fs.truncateSync(meta, 4096);
    expect((await rejection(openStore(one.options()))).code).to.equal('WRONG_SIZE');
    fs.unlinkSync(meta);
    expect((await rejection(openStore(one.options()))).code).to.equal('NOT_A_STORE');
  });

  it('because the superblock is gone and the data is not: the data is left alone', async () => {
    await one.open();
    one.write(1, 0);
    await one.close();
    fs.unlinkSync(path.join(one.directory, 'superblock'));
    const error = await rejection(openStore(one.options()));
    expect(error.code).to.equal('NOT_A_STORE');
    expect(fs.readFileSync(path.join(one.directory, '000001.img')).readUInt32LE(0)).to.equal(1);
  });

  it('is made anew when its creation was cut short', async () => {
    fs.writeFileSync(path.join(one.directory, '000001.img'), '');
    fs.writeFileSync(path.join(one.directory, 'superblock.new'), 'half');
    await one.open();
    expect(await one.read(0)).to.equal(0);
  });

  it('because the size is no volume size', async () => {
    for (const sizeBytes of [0, 513, 65 * 1024 ** 4]) {
      const create = { ...one.options().create!, sizeBytes };
      const error = await rejection(openStore({ directory: one.directory, create }));
      expect(error.code).to.equal(sizeBytes > 513 ? 'TOO_LARGE' : 'WRONG_SIZE');
    }
  });

  it('among the files of others, of which it touches none', async () => {
    fs.mkdirSync(path.join(one.directory, 'lost+found'));
    fs.writeFileSync(path.join(one.directory, 'holiday.jpg'), 'mine');
    const error = await rejection(openStore(one.options()));
    expect(error.code).to.equal('NOT_A_STORE');
    expect(error.message).to.match(/is not empty: it has holiday\.jpg\. .* empty directory/);
    expect(fs.readdirSync(one.directory).sort()).to.deep.equal(['holiday.jpg', 'lost+found']);
    fs.rmSync(path.join(one.directory, 'holiday.jpg'));
    await one.open();
  });

  it('because a part of it is gone', async () => {
    await one.open();
    await one.close();
    fs.rmSync(path.join(one.directory, 'activity'));
    const error = await rejection(openStore(one.options()));
    expect(error.code).to.equal('NOT_A_STORE');
    expect(error.message).to.include('activity').and.to.include('rebuilt in an empty directory');
  });

  it('because the user may not', function () {
    if (!IS_ROOT) this.skip();
    fs.chmodSync(one.directory, 0o700);
    const { code, message } = openElsewhere(one.options(), 65534);
    expect(code).to.equal('PERMISSION_DENIED');
    expect(message).to.match(/chown/);
  });
});

describe('a store on a small or failing file system', function () {
  this.timeout(20_000);
  let one: RealStore;
  let mountPoint: string;
  let mounted: boolean;
  let backing: string;
  let loop: string | null;

  beforeEach(() => {
    mountPoint = temporaryDirectory();
    backing = temporaryDirectory();
    one = new RealStore(path.join(mountPoint, 'store'), SIZE_BYTES);
    mounted = false;
    loop = null;
  });

  afterEach(async () => {
    await one.close().catch(() => undefined);
    if (mounted) run('umount', mountPoint);
    if (loop !== null) run('losetup', '-d', loop);
    run('umount', backing);
    removeDirectory(mountPoint);
    removeDirectory(backing);
  });

  function mount(...args: string[]): boolean {
    mounted = IS_ROOT && run('mount', ...args, mountPoint) !== null;
    return mounted;
  }

  it('that is read-only is refused with words', async function () {
    if (!mount('-t', 'tmpfs', '-o', 'size=1m,ro', 'openebs-test')) this.skip();
    const error = await rejection(openStore(one.options()));
    expect(error.code).to.equal('READ_ONLY_FILE_SYSTEM');
    expect(error.message).to.match(/Mount the file system for writing/);
  });

  it('that is full answers NO_SPACE, reads on, and writes when there is room', async function () {
    if (!mount('-t', 'tmpfs', '-o', 'size=4m', 'openebs-test')) this.skip();
    await one.open();
    let written = 0;
    while (one.failure === null && written < SIZE_BYTES) {
      one.write(written / EXTENT_BYTES + 1, written, EXTENT_BYTES);
      await one.flush();
      written += EXTENT_BYTES;
    }
    expect(one.failure?.code).to.equal('NO_SPACE');
    expect(one.failure?.message).to.match(/Make room/);
    for (let offset = 0; offset < written - EXTENT_BYTES; offset += EXTENT_BYTES)
      expect(await one.read(offset)).to.equal(offset / EXTENT_BYTES + 1);
    expect(one.isUnknown(written / EXTENT_BYTES - 1)).to.equal(true);
    await one.close();
    expect(run('mount', '-o', 'remount,size=8m', mountPoint)).not.to.equal(null);
    await one.open();
    one.write(77, written - EXTENT_BYTES, EXTENT_BYTES);
    expect(await one.flush()).to.equal('none');
    expect(await one.read(written - EXTENT_BYTES)).to.equal(77);
  });

  it('that is too small for a store says so when the store is made', async function () {
    if (!mount('-t', 'tmpfs', '-o', 'size=64k', 'openebs-test')) this.skip();
    expect((await rejection(openStore(one.options()))).code).to.equal('NO_SPACE');
  });

  /**
   * ext4 on a loop device whose backing file lies on a tmpfs that is too small: the device fails
   * when it is full.
   */
  function mountThinDevice(): boolean {
    if (!IS_ROOT || run('mount', '-t', 'tmpfs', '-o', 'size=12m', 'openebs-test', backing) === null)
      return false;
    const image = path.join(backing, 'image');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 256 * 1024 ** 2);
    if (run('mkfs.ext4', '-q', '-O', '^has_journal', '-E', 'nodiscard', image) === null)
      return false;
    loop = run('losetup', '-f', '--show', image);
    return loop !== null && mount('-t', 'ext4', loop);
  }

  it('whose device fails answers FLUSH_FAILED once and for all', async function () {
    if (!mountThinDevice()) this.skip();
    await one.open();
    let code = 'none';
    for (let extent = 0; extent < 32 && code === 'none'; extent += 1) {
      one.write(extent + 1, extent * EXTENT_BYTES, EXTENT_BYTES);
      code = await one.flush();
    }
    expect(code).to.equal('FLUSH_FAILED');
    expect(one.failure?.code).to.equal('FLUSH_FAILED');
    expect(one.failure?.message).to.match(/EIO|ENOSPC|i\/o error/i);
    expect(await one.flush()).to.equal('FLUSH_FAILED');
    expect((await rejection(one.close())).code).to.equal('FLUSH_FAILED');
  });

  it('whose device cannot be read answers IO_ERROR with the place', async function () {
    if (!mountThinDevice()) this.skip();
    await one.open();
    one.write(1, 0, 4 * EXTENT_BYTES);
    expect(await one.flush()).to.equal('none');
    const listed = run('filefrag', '-v', path.join(one.directory, '000001.img')) ?? '';
    const first = /^\s*0:\s+\d+\.\.\s*\d+:\s+(\d+)\.\./m.exec(listed)?.[1];
    if (first === undefined) this.skip();
    const dataStart = Number(first) * fs.statfsSync(mountPoint).bsize;
    await one.close();
    // The device loses everything from the data on; unmounting has emptied the cache.
    run('umount', mountPoint);
    fs.truncateSync(path.join(backing, 'image'), dataStart);
    run('blockdev', '--flushbufs', loop!);
    expect(mount('-t', 'ext4', loop!)).to.equal(true);
    await one.open();
    expect(await one.read(0)).to.equal('IO_ERROR');
  });
});
