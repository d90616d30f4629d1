/**
 * Goal: what `mayactl volume connect` prints works as it is printed, pasted into a shell.
 *
 * Method: npm start, and a volume without CHAP, one with it, one with mutual CHAP. What is printed
 * goes to a shell, with the secrets put in where the text says so: the commands of libiscsi and
 * QEMU on this host, those of open-iscsi in a virtual machine with iscsid and udev, where
 * 127.0.0.1 leads to this host's.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildInitramfs } from '../kernel-vm/initramfs.ts';
import { Machine } from '../kernel-vm/machine.ts';
import { LocalSystem } from '../local/local-system.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { findKernel } from '../support/debian.ts';
import { tryTool } from '../support/tool.ts';

const SECRETS = { SECRET: "it's a secret: 100%", MUTUAL_SECRET: '"the volume\'s" @ $HOME' };
/** The whole life of the machine, which is emulated. */
const MACHINE_LIMIT_MS = 180_000;
const RULES = ['50-udev-default.rules', '60-persistent-storage.rules'];
/**
 * `mov dx, 0x604; mov ax, 0x2000; out dx, ax; cli; hlt; jmp`: QEMU's machine is switched off, and
 * QEMU ends with code 0. It does so only when it has read this from the volume.
 */
const BOOT_CODE = Buffer.from('ba0406b80020effaf4ebfd', 'hex');
const VOLUMES = ['open', 'chap', 'mutual'] as const;
type Name = (typeof VOLUMES)[number];
const WRONG_WITHOUT = { open: [], chap: ['SECRET'], mutual: ['SECRET', 'MUTUAL_SECRET'] } as const;

/** The paragraph below a heading, with the variables that the first one asks for. */
function paragraph(printed: string, heading: string): string {
  const paragraphs = printed.split('\n\n');
  const commands = paragraphs.find((text) => text.startsWith(heading));
  if (commands === undefined) throw new Error(`nothing begins with ${heading}:\n${printed}`);
  const variables = paragraphs.find((text) => text.includes("\nSECRET='...'")) ?? '';
  return `${variables.replace(/^(\w+)='\.\.\.'$/gm, assignment)}\n${commands}\n`;
}

function assignment(_: string, name: string): string {
  const secret = SECRETS[name as keyof typeof SECRETS];
  return `${name}='${secret.replaceAll("'", `'\\''`)}'`;
}

describe('the commands that `mayactl volume connect` prints', function () {
  this.timeout(120_000);
  let root: string;
  let system: LocalSystem;
  const printed = new Map<Name, string>();
  const ports: string[] = [];

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'openebs-connect-'));
    const secretFile = join(root, 'secret');
    const mutualFile = join(root, 'mutual');
    writeFileSync(secretFile, SECRETS.SECRET, { mode: 0o600 });
    writeFileSync(mutualFile, SECRETS.MUTUAL_SECRET, { mode: 0o600 });
    system = await LocalSystem.start(join(root, 'd'), ['--no-demo']);
    const chap = ['--chap-user', 'alice', '--chap-secret-file', secretFile];
    const mutual = ['--mutual-chap-user', 'a volume', '--mutual-chap-secret-file', mutualFile];
    const flags = { open: [], chap, mutual: [...chap, ...mutual] };
    for (const name of VOLUMES) {
      const size = ['--size', '16MiB', '--replicas', '1'];
      const made = await system.mayactl('volume', 'create', name, ...size, ...flags[name]);
      expect(made.code, made.stderr).to.equal(0);
      const connect = await system.mayactl('volume', 'connect', name);
      expect(connect.code, connect.stderr).to.equal(0);
      printed.set(name, connect.stdout);
      ports.push((await system.volume(name)).portal.split(':')[1] ?? '');
    }
  });
  after(async () => {
    await system.stop();
    rmSync(root, { recursive: true });
  });

  const shell = async (script: string, wanted: 'well' | 'badly' = 'well'): Promise<string> => {
    // Where there is a screen QEMU would open a window on it.
    const { code, stdout, stderr } = await tryTool('env', [
      ...['-u', 'DISPLAY', '-u', 'WAYLAND_DISPLAY', 'bash', '-ec', script],
    ]);
    expect(code === 0, `${script}\n${stdout}${stderr}`).to.equal(wanted === 'well');
    return stdout;
  };

  for (const name of VOLUMES) {
    const text = (heading: string): string => paragraph(printed.get(name) ?? '', heading);

    it(`${name}: those of libiscsi show the volume`, async () => {
      const said = await shell(text('# libiscsi'));
      expect(said).to.include(`Target:iqn.2016-09.com.openebs:${name} `);
      expect(said).to.match(/^Vendor:OpenEBS *$/m);
      for (const secret of WRONG_WITHOUT[name]) {
        await shell(text('# libiscsi').replace(assignment('', secret), `${secret}=wrong`), 'badly');
      }
    });

    it(`${name}: those of QEMU show it, and boot from it`, async () => {
      const image = join(root, 'boot.img');
      const sector = Buffer.alloc(512);
      BOOT_CODE.copy(sector);
      sector.writeUInt16BE(0x55aa, 510);
      writeFileSync(image, sector);
      const variables = text('# libiscsi').replace(/^iscsi-.*$/gm, '');
      const url = (await system.mayactl('volume', 'connect', name, '-o', 'name')).stdout.trim();
      await shell(`${variables}\nqemu-img convert -n -O raw ${image} ${url}`);
      const said = await shell(`${variables}\n${text('# QEMU')}`);
      expect(said).to.include('virtual size: 16 MiB');
    });
  }

  it('those of open-iscsi give a disk, and take it away again', async function () {
    this.timeout(MACHINE_LIMIT_MS);
    const kernel = findKernel(REPOSITORY);
    if (kernel === null) throw new Error('there is no kernel: npm test -- --suite connect gets it');
    const files: Record<string, string> = {};
    for (const [name, text] of printed) {
      files[`/printed/${name}-in.sh`] = paragraph(text, '# Linux kernel');
      files[`/printed/${name}-out.sh`] = paragraph(text, '# before the volume is deleted');
    }
    for (const rule of RULES)
      files[`/usr/lib/udev/rules.d/${rule}`] = readFileSync(
        `/usr/lib/udev/rules.d/${rule}`,
        'utf8',
      );
    const directory = join(root, 'machine');
    mkdirSync(directory);
    const machine = new Machine({
      kernelImage: kernel.image,
      initramfs: buildInitramfs({
        directory,
        modules: kernel.modules,
        scenario: join(import.meta.dirname, 'printed-commands.sh'),
        tools: ['udevadm'],
        files,
        initiatorName: 'iqn.2004-10.org.debian:connect',
        // As Debian ships it.
        settings: { 'node.startup': 'manual' },
      }),
      parameters: { 'openebs.ports': ports.join(','), 'openebs.volumes': VOLUMES.join(',') },
    });
    try {
      for (const step of ['boot', ...VOLUMES, 'end']) await machine.passed(step);
    } finally {
      await machine.kill();
    }
  });
});
