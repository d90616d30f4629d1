import { release } from 'node:os';
import { ok, warning, type Finding } from './finding.ts';
import type { Host } from './host.ts';

const OPEN_ISCSI = { debian: 'open-iscsi', redhat: 'iscsi-initiator-utils', suse: 'open-iscsi' };
/** While a target starts again elsewhere the kernel holds I/O for this long, then fails it. */
const MIN_REPLACEMENT_TIMEOUT_S = 60;

/**
 * What the Linux kernel's initiator needs. Missing parts are warnings: volumes are served without
 * it, to QEMU and libiscsi, and initiators may be on other machines.
 */
export function iscsiChecks(host: Host, kernel: string = release()): readonly Finding[] {
  if (!host.hasProgram('iscsiadm')) {
    return [
      warning(
        'open-iscsi',
        'is not installed: this host cannot attach volumes',
        host.installCommand(OPEN_ISCSI),
      ),
      kernelModule(host, kernel),
      multipath(host),
    ];
  }
  return [
    ok('open-iscsi', 'is installed'),
    iscsid(host),
    initiatorName(host),
    kernelModule(host, kernel),
    replacementTimeout(host),
    multipath(host),
  ];
}

function iscsid(host: Host): Finding {
  if (host.hasProcess('iscsid')) return ok('iscsid', 'runs');
  // systemd starts it when iscsiadm first speaks to its socket.
  if (host.exists('/run/systemd/units/invocation:iscsid.socket')) {
    return ok('iscsid', 'starts when it is needed (iscsid.socket)');
  }
  return warning(
    'iscsid',
    'does not run: logins hang or fail',
    host.hasSystemd() ? 'sudo systemctl enable --now iscsid' : 'sudo iscsid',
  );
}

function initiatorName(host: Host): Finding {
  const file = '/etc/iscsi/initiatorname.iscsi';
  const name = /^InitiatorName=(\S+)/m.exec(host.read(file) ?? '')?.[1];
  if (name !== undefined) return ok('initiator name', name);
  // Only root may read the file, as Debian installs it.
  if (host.exists(file) && host.read(file) === null) return ok('initiator name', `is in ${file}`);
  return warning(
    'initiator name',
    `${file} has none`,
    `echo "InitiatorName=$(/sbin/iscsi-iname)" | sudo tee ${file}`,
  );
}

function kernelModule(host: Host, kernel: string): Finding {
  const check = 'iscsi_tcp';
  if (host.exists('/sys/module/iscsi_tcp')) return ok(check, 'the kernel module is loaded');
  const modules = `/lib/modules/${kernel}`;
  const lists = [`${modules}/modules.dep`, `${modules}/modules.builtin`];
  if (lists.some((list) => host.read(list)?.includes('/iscsi_tcp.ko') === true)) {
    return warning(check, 'the kernel module is not loaded', 'sudo modprobe iscsi_tcp');
  }
  return warning(
    check,
    `kernel ${kernel} has no such module: it cannot attach volumes`,
    host.installCommand({
      debian: 'linux-image-amd64',
      redhat: 'kernel-modules-core',
      suse: 'kernel-default',
    }),
  );
}

function replacementTimeout(host: Host): Finding {
  const check = 'replacement timeout';
  const file = '/etc/iscsi/iscsid.conf';
  const text = host.read(file) ?? '';
  const value = /^\s*node\.session\.timeo\.replacement_timeout\s*=\s*(-?\d+)/m.exec(text)?.[1];
  const seconds = value === undefined ? 120 : Number(value);
  // Zero fails I/O at once, a negative one never (open-iscsi's iscsid.conf).
  if (seconds < 0 || seconds >= MIN_REPLACEMENT_TIMEOUT_S) {
    return ok(check, seconds < 0 ? 'I/O waits for ever' : `I/O waits ${seconds} s for a target`);
  }
  return warning(
    check,
    `after ${seconds} s without the target I/O fails and file systems turn read-only`,
    `sudo sed -i 's/^\\(node.session.timeo.replacement_timeout\\) *=.*/\\1 = 120/' ${file}`,
  );
}

/** As printf takes it. */
const MULTIPATH_BLACKLIST =
  'blacklist {\\n  device {\\n    vendor "OpenEBS"\\n    product ".*"\\n  }\\n}\\n';

function multipath(host: Host): Finding {
  const check = 'multipathd';
  if (!host.hasProcess('multipathd')) return ok(check, 'does not run');
  const files = [
    '/etc/multipath.conf',
    ...host.list('/etc/multipath/conf.d').map((name) => `/etc/multipath/conf.d/${name}`),
  ];
  const text = files.map((file) => host.read(file) ?? '').join('\n');
  const withoutComments = text.replace(/#.*$/gm, '');
  const blacklist = /blacklist\s*\{[^]*?\bvendor\s+"?OpenEBS/i.test(withoutComments);
  if (blacklist) return ok(check, 'leaves volumes alone');
  const restart = 'sudo systemctl restart multipathd';
  return warning(
    check,
    'takes volumes as multipath devices: mounts say "already mounted or busy"',
    `printf '${MULTIPATH_BLACKLIST}' | sudo tee -a /etc/multipath.conf && ${restart}`,
  );
}
