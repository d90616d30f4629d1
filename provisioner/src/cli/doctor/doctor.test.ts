import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import type { Finding } from './finding.ts';
import { Host } from './host.ts';
import { hostChecks, nodeVersion, softLimit } from './host-checks.ts';
import { iscsiChecks } from './iscsi-checks.ts';

describe('doctor', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'openebs-doctor-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function put(path: string, content = ''): void {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }

  function check(name: string): Finding | undefined {
    return iscsiChecks(new Host(root), '6.1').find((finding) => finding.check === name);
  }

  function goodHost(): void {
    put('/usr/sbin/iscsiadm');
    put('/proc/7/comm', 'iscsid\n');
    put('/etc/iscsi/initiatorname.iscsi', 'InitiatorName=iqn.1993-08.org.debian:01:x\n');
    put('/sys/module/iscsi_tcp/refcnt', '0');
    put('/etc/iscsi/iscsid.conf', 'node.session.timeo.replacement_timeout = 120\n');
  }

  it('finds nothing wrong with a host that has everything', () => {
    goodHost();
    expect(iscsiChecks(new Host(root)).map(({ status }) => status)).to.not.include('warning');
  });

  it('gives the command that installs open-iscsi on this distribution', () => {
    put('/etc/os-release', 'ID=debian\n');
    expect(check('open-iscsi')?.fix).to.equal('sudo apt-get install -y open-iscsi');
    put('/etc/os-release', 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n');
    expect(check('open-iscsi')?.fix).to.equal('sudo dnf install -y iscsi-initiator-utils');
    put('/etc/os-release', 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n');
    expect(check('open-iscsi')?.fix).to.equal('sudo zypper install -y open-iscsi');
  });

  it('tells a module that is not loaded from one that the kernel lacks', () => {
    put('/lib/modules/6.1/modules.dep', 'kernel/drivers/scsi/iscsi_tcp.ko.xz: x\n');
    expect(check('iscsi_tcp')?.fix).to.equal('sudo modprobe iscsi_tcp');
    put('/lib/modules/6.1/modules.dep', '');
    expect(check('iscsi_tcp')?.detail).to.include('has no such module');
  });

  it('finds multipathd that would grab volumes, and sees when it may not', () => {
    goodHost();
    put('/proc/8/comm', 'multipathd\n');
    put('/etc/multipath.conf', '# blacklist { device { vendor "OpenEBS" } }\ndefaults { }\n');
    expect(check('multipathd')).to.include({ status: 'warning' });
    put('/etc/multipath.conf', 'blacklist {\n device {\n vendor "OpenEBS"\n product ".*"\n }\n}\n');
    expect(check('multipathd')).to.include({ status: 'ok' });
  });

  it('warns of a timeout that a failover does not fit in', () => {
    goodHost();
    put('/etc/iscsi/iscsid.conf', 'node.session.timeo.replacement_timeout = 15\n');
    expect(check('replacement timeout')).to.include({ status: 'warning' });
    put('/etc/iscsi/iscsid.conf', 'node.session.timeo.replacement_timeout = -1\n');
    expect(check('replacement timeout')).to.include({ status: 'ok' });
  });

  it('asks for iscsid and a name of the initiator', () => {
    put('/usr/sbin/iscsiadm');
    expect(check('iscsid')?.fix).to.equal('sudo iscsid');
    put('/run/systemd/system/x');
    expect(check('iscsid')?.fix).to.equal('sudo systemctl enable --now iscsid');
    expect(check('initiator name')).to.include({ status: 'warning' });
  });

  it('checks Node.js, limits and the data directory', () => {
    expect(nodeVersion('20.1.0').status).to.equal('error');
    expect(nodeVersion('26.0.0').status).to.equal('ok');
    const limits =
      'Max file size    1024      unlimited bytes\nMax open files   unlimited unlimited files\n';
    expect(softLimit(limits, 'Max file size')).to.equal(1024);
    expect(softLimit(limits, 'Max open files')).to.equal(null);
    const findings = hostChecks(new Host(root), join(root, 'a', 'b'));
    expect(findings.find((finding) => finding.check === 'data directory')?.detail).to.include(
      'made at the first start',
    );
    expect(findings.map(({ status }) => status)).to.not.include('error');
  });
});
