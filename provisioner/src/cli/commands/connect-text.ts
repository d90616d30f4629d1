import type { VolumeView } from '../../orchestrator/orchestrator.ts';

/**
 * The exact commands for the initiators that people have, to be pasted as they are: all else is a
 * comment, a long line is broken with a backslash, and secrets are variables to be set first.
 */
export function connectText(volume: VolumeView): string {
  const { iqn, portal, lun, name, chap } = volume;
  const url = `iscsi://${portal}/${iqn}/${lun}`;
  const node = `iscsiadm -m node -T ${iqn} \\\n  -p ${portal}`;
  const paragraphs = [
    [`# ${name}: ${iqn} at ${portal}, LUN ${lun}`],
    chap === null ? [] : secretLines(chap),
    [
      '# Linux kernel: open-iscsi, as root',
      ...(chap === null
        ? [`iscsiadm -m discovery -t sendtargets -p ${portal}`]
        : [`${node} -o new`, ...proofOfNode(chap).map((set) => `${node} -o update \\\n  ${set}`)]),
      `${node} --login`,
      'udevadm settle',
      `ls -l /dev/disk/by-path/*${iqn}-lun-${lun}`,
    ],
    [
      '# before the volume is deleted or OpenEBS stops: unmount it, then',
      `${node} --logout`,
      `${node} -o delete`,
    ],
    [
      '# libiscsi',
      ...(chap === null ? [] : proofOfLibiscsi(chap)),
      `iscsi-ls -s iscsi://${portal}`,
      `iscsi-inq ${url}`,
    ],
    [
      // Its driver is libiscsi, and takes what that takes from the environment.
      chap === null ? '# QEMU' : '# QEMU, with the variables of libiscsi',
      ...(chap?.mutualUser == null ? [] : ['# (it does not ask the volume for its own proof)']),
      `qemu-img info ${url}`,
      `qemu-system-x86_64 -drive if=virtio,format=raw,\\\nfile=${url}`,
    ],
  ];
  return paragraphs
    .filter((lines) => lines.length > 0)
    .map((lines) => `${lines.join('\n')}\n`)
    .join('\n');
}

type Chap = NonNullable<VolumeView['chap']>;

function secretLines({ mutualUser }: Chap): string[] {
  return [
    '# what the volume was given, which nobody else knows: put it in here first',
    "SECRET='...'",
    ...(mutualUser === null ? [] : ["MUTUAL_SECRET='...'"]),
  ];
}

function proofOfNode({ user, mutualUser }: Chap): string[] {
  const set = (name: string, value: string): string => `-n node.session.auth.${name} -v ${value}`;
  return [
    set('authmethod', 'CHAP'),
    set('username', quoted(user)),
    set('password', '"$SECRET"'),
    ...(mutualUser === null
      ? []
      : [set('username_in', quoted(mutualUser)), set('password_in', '"$MUTUAL_SECRET"')]),
  ];
}

/** Not in the URL: there everybody on the host would see it, and some characters could not be. */
function proofOfLibiscsi({ user, mutualUser }: Chap): string[] {
  return [
    `export LIBISCSI_CHAP_USERNAME=${quoted(user)}`,
    'export LIBISCSI_CHAP_PASSWORD="$SECRET"',
    ...(mutualUser === null
      ? []
      : [
          `export LIBISCSI_CHAP_TARGET_USERNAME=${quoted(mutualUser)}`,
          'export LIBISCSI_CHAP_TARGET_PASSWORD="$MUTUAL_SECRET"',
        ]),
  ];
}

/** As one word of a shell. */
function quoted(text: string): string {
  return /^[\w.:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
