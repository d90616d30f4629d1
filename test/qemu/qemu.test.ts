/**
 * Goal: QEMU can keep its disks on a volume.
 * Method: qemu-img and qemu-io with QEMU's own iSCSI driver; images go in and out and are compared,
 * patterns are written and verified at every alignment.
 */
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';

import { expect } from 'chai';

import { runTool, tryTool } from '../support/tool.ts';
import { useVolume } from '../support/volume-fixture.ts';

const MIB = 1 << 20;
const IMAGE_BYTES = 64 * MIB;
const USER = { name: 'alice', secret: 'correct-horse-battery' };

describe("QEMU's iSCSI driver", () => {
  const fixture = useVolume(() => ({ sizeBytes: IMAGE_BYTES }));
  const path = (name: string): string => `${fixture.directory}/${name}`;

  /** Pieces of random bytes with holes between them, some at odd sectors. */
  function makeImage(name: string): string {
    const file = openSync(path(name), 'w');
    const pieces: readonly (readonly [number, number])[] = [
      [0, 3 * MIB],
      [5 * MIB + 512, 70_144],
      [17 * MIB - 4096, 8192],
      [31 * MIB, 6 * MIB],
      [IMAGE_BYTES - 512, 512],
    ];
    for (const [offset, length] of pieces) writeSync(file, randomBytes(length), 0, length, offset);
    ftruncateSync(file, IMAGE_BYTES);
    closeSync(file);
    return path(name);
  }

  /** qemu-io commands on the volume; fails when a pattern is not what was written. */
  const qemuIo = (...commands: readonly string[]): Promise<unknown> =>
    runTool('qemu-io', [
      ...['-f', 'raw', '-t', 'none', '-d', 'unmap', fixture.url()],
      ...commands.flatMap((command) => ['-c', command]),
    ]);

  it('sees the size of the volume', async () => {
    const { stdout } = await runTool('qemu-img', ['info', '--output=json', fixture.url()]);
    expect(JSON.parse(stdout)).to.have.property('virtual-size', IMAGE_BYTES);
  });

  it('takes a raw image in and gives the same one out', async () => {
    const image = makeImage('in.raw');
    const out = path('out.raw');
    await runTool('qemu-img', ['convert', '-n', '-O', 'raw', image, fixture.url()]);
    await runTool('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, fixture.url()]);
    await runTool('qemu-img', ['convert', '-O', 'raw', fixture.url(), out]);
    await runTool('cmp', [image, out]);
  });

  it('takes a qcow2 image in over other data and gives the same one out', async () => {
    const image = path('in.qcow2');
    const out = path('out.qcow2');
    await runTool('qemu-img', ['convert', '-O', 'qcow2', makeImage('other.raw'), image]);
    await runTool('qemu-img', ['convert', '-n', '-O', 'raw', image, fixture.url()]);
    await runTool('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', fixture.url(), out]);
    await runTool('qemu-img', ['compare', image, out]);
    await runTool('qemu-img', ['compare', image, fixture.url()]);
  });

  it('works as a qcow2 disk: written through, checked, with a snapshot inside', async () => {
    const url = fixture.url();
    await runTool('qemu-img', ['create', '-f', 'qcow2', url, `${IMAGE_BYTES / 2}`]);
    const run = (command: string): Promise<unknown> =>
      runTool('qemu-io', ['-f', 'qcow2', url, '-c', command]);
    await run('write -P 0x11 1M 3M');
    await runTool('qemu-img', ['snapshot', '-c', 'first', url]);
    await run('write -P 0x22 2M 3M');
    await runTool('qemu-img', ['check', '-f', 'qcow2', url]);
    await run('read -P 0x22 2M 3M');
    await runTool('qemu-img', ['snapshot', '-a', 'first', url]);
    await run('read -P 0x11 1M 3M');
    await runTool('qemu-img', ['check', '-f', 'qcow2', url]);
  });

  it('reads back patterns that lie on the blocks of the volume', async () => {
    await qemuIo(
      'write -P 0x5a 0 8M',
      'write -P 0xa5 1M 64k',
      'write -P 0x33 4096 4096',
      'read -P 0x5a 0 4096',
      'read -P 0x33 4096 4096',
      'read -P 0x5a 8192 1040384',
      'read -P 0xa5 1M 64k',
      'read -P 0x5a 1114112 7274496',
    );
  });

  it('reads back patterns that lie across the blocks of the volume', async () => {
    await qemuIo(
      'write -P 0x5a 0 8M',
      'write -P 0x01 512 512',
      'write -P 0x02 3584 1024',
      'write -P 0x03 1048064 1024',
      'write -P 0x04 2097664 1049088',
      'read -P 0x5a 0 512',
      'read -P 0x01 512 512',
      'read -P 0x5a 1024 2560',
      'read -P 0x02 3584 1024',
      'read -P 0x5a 4608 1043456',
      'read -P 0x03 1048064 1024',
      'read -P 0x5a 1049088 1048576',
      'read -P 0x04 2097664 1049088',
      'read -P 0x5a 3146752 1M',
    );
  });

  it('reads zeros where it wrote zeros or discarded, and its neighbours stay', async () => {
    await qemuIo(
      'write -P 0x5a 0 16M',
      'write -z 1M 1M',
      'write -z -u 3M 1M',
      'discard 5M 2M',
      'write -z -u 8389120 1024',
      'read -P 0x5a 0 1M',
      'read -P 0 1M 1M',
      'read -P 0x5a 2M 1M',
      'read -P 0 3M 1M',
      'read -P 0x5a 4M 1M',
      'read -P 0 5M 2M',
      'read -P 0x5a 7M 1M',
      'read -P 0x5a 8388608 512',
      'read -P 0 8389120 1024',
      'read -P 0x5a 8390144 512',
    );
  });

  it('shows what is discarded as a hole', async () => {
    await qemuIo('write -P 0x5a 0 16M', 'discard 4M 4M', 'flush');
    const args = ['map', '--output=json', '-f', 'raw', fixture.url()];
    const { stdout } = await runTool('qemu-img', args);
    const map = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
    const isData = (offset: number): boolean | undefined =>
      map.find(({ start, length }) => start <= offset && offset < start + length)?.data;
    expect([0, 4 * MIB, 6 * MIB, 8 * MIB].map(isData)).to.deep.equal([true, false, false, true]);
  });

  it('makes its writes durable: flush and forced unit access succeed', async () => {
    await qemuIo('write -f -P 0x77 0 4096', 'write -P 0x78 4096 4096', 'flush');
    await qemuIo('read -P 0x77 0 4096', 'read -P 0x78 4096 4096');
  });

  it('keeps many requests in flight, with their data apart', async () => {
    const offsets = Array.from({ length: 64 }, (_, index) => index * 128);
    await qemuIo(
      ...offsets.map((offset, index) => `aio_write -q -P ${index + 1} ${offset}k 128k`),
      'aio_flush',
      ...offsets.map((offset, index) => `read -q -P ${index + 1} ${offset}k 128k`),
    );
  });

  for (const [name, args] of [
    ['reads', []],
    ['writes', ['-w']],
    ['writes with a flush after every 64', ['-w', '--flush-interval=64']],
    ['unaligned writes', ['-w', '-o', '512', '-S', '5120']],
  ] as const) {
    it(`runs qemu-img bench: ${name}`, async () => {
      const depth = ['-c', '2000', '-d', '32', '-s', '4096'];
      const { stdout } = await runTool('qemu-img', [
        ...['bench', '-f', 'raw', '-t', 'none', ...depth, ...args, fixture.url()],
      ]);
      expect(stdout).to.match(/Run completed in/);
    });
  }

  it('transfers the same with header digests', async () => {
    const { host, port, targetName } = fixture.volume.portal;
    const options = [
      ...['driver=iscsi', 'transport=tcp', `portal=${host}:${port}`, `target=${targetName}`],
      ...['lun=0', 'header-digest=crc32c'],
    ].join(',');
    const commands = ['write -P 0x42 1M 3M', 'write -P 0x43 512 512', 'read -P 0x42 1M 3M'];
    await runTool('qemu-io', [
      ...['--image-opts', options],
      ...commands.flatMap((command) => ['-c', command]),
    ]);
    await qemuIo('read -P 0x42 1M 3M', 'read -P 0x43 512 512');
  });
});

describe("QEMU's iSCSI driver, with CHAP", () => {
  const fixture = useVolume((directory) => {
    writeFileSync(`${directory}/secret`, USER.secret, { mode: 0o600 });
    return {
      sizeBytes: IMAGE_BYTES,
      targetFlags: { 'chap-user': USER.name, 'chap-secret-file': `${directory}/secret` },
    };
  });

  it('is let in with the secret', async () => {
    const commands = ['-c', 'write -P 0x99 0 1M', '-c', 'read -P 0x99 0 1M'];
    await runTool('qemu-io', ['-f', 'raw', fixture.url(USER), ...commands]);
  });

  it('is refused with a wrong secret, and with none', async () => {
    for (const url of [fixture.url({ ...USER, secret: 'incorrect-horse' }), fixture.url()]) {
      const { code, stderr } = await tryTool('qemu-img', ['info', url]);
      expect(code).to.equal(1);
      expect(stderr).to.match(/authenticat|authoriz/i);
    }
  });
});
