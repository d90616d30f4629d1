import type { VolumeView } from '../../orchestrator/orchestrator.ts';

/**
 * The exact commands for the initiators that people have; a long one is broken with a backslash, to
 * be pasted as it is.
 */
export function connectText(volume: VolumeView): string {
  const { iqn, portal, lun, name } = volume;
  const proof = volume.chap === null ? '' : `${volume.chap.user}%SECRET@`;
  const address = `iscsi://${proof}${portal}/${iqn}/${lun}`;
  // With a name in it the lines would be too long.
  const url = volume.chap === null ? address : '$url';
  return `${name}: ${iqn} at ${portal}, LUN ${lun}

Linux kernel (open-iscsi, as root)
${nodeText(volume)}  iscsiadm -m node -T ${iqn} \\
    -p ${portal} --login
  ls -l /dev/disk/by-path/*${iqn}-lun-${lun}
  # before the volume is deleted or OpenEBS stops: unmount it, then
  iscsiadm -m node -T ${iqn} \\
    -p ${portal} --logout

libiscsi
${volume.chap === null ? '' : `  url=${address}\n`}  iscsi-ls -s iscsi://${proof}${portal}
  iscsi-inq ${url}

QEMU
  qemu-img info ${url}
  qemu-system-x86_64 -drive \\
file=${url},format=raw,if=virtio
  qemu-system-x86_64 -device virtio-blk-pci,drive=${nodeName(name)} \\
    -blockdev driver=iscsi,node-name=${nodeName(name)},\\
transport=tcp,portal=${portal},\\
target=${iqn},lun=${lun}${
    volume.chap === null
      ? ''
      : `,\\\nuser=${volume.chap.user},password-secret=chap \\\n    -object secret,id=chap,file=FILE\n  # FILE is to have the secret without an end of line: printf %s SECRET > FILE`
  }
`;
}

/** How the initiator learns of the target, and what it has to prove. */
function nodeText({ iqn, portal, chap }: VolumeView): string {
  if (chap === null) return `  iscsiadm -m discovery -t sendtargets -p ${portal}\n`;
  const set = (name: string, value: string): string =>
    `  iscsiadm -m node -T ${iqn} \\\n    -p ${portal} -o update \\\n    -n node.session.auth.${name} -v ${value}\n`;
  const mutual =
    chap.mutualUser === null
      ? ''
      : set('username_in', chap.mutualUser) + set('password_in', 'MUTUAL-SECRET');
  return [
    '  # SECRET is the one that the volume was given; nobody else knows it\n',
    `  iscsiadm -m node -T ${iqn} \\\n    -p ${portal} -o new\n`,
    set('authmethod', 'CHAP'),
    set('username', chap.user),
    set('password', 'SECRET'),
    mutual,
  ].join('');
}

/** QEMU: at most 31 characters, a letter first. */
function nodeName(name: string): string {
  return `v-${name}`.slice(0, 31);
}
