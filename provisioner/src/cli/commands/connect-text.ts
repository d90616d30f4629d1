import type { VolumeView } from '../../orchestrator/orchestrator.ts';

/**
 * The exact commands for the initiators that people have; a long one is broken with a backslash, to
 * be pasted as it is.
 */
export function connectText(volume: VolumeView): string {
  const { iqn, portal, lun, name } = volume;
  const url = `iscsi://${portal}/${iqn}/${lun}`;
  return `${name}: ${iqn} at ${portal}, LUN ${lun}

Linux kernel (open-iscsi, as root)
  iscsiadm -m discovery -t sendtargets -p ${portal}
  iscsiadm -m node -T ${iqn} \\
    -p ${portal} --login
  ls -l /dev/disk/by-path/*${iqn}-lun-${lun}
  # before the volume is deleted or OpenEBS stops: unmount it, then
  iscsiadm -m node -T ${iqn} \\
    -p ${portal} --logout

libiscsi
  iscsi-ls -s iscsi://${portal}
  iscsi-inq ${url}

QEMU
  qemu-img info ${url}
  qemu-system-x86_64 -drive \\
file=${url},format=raw,if=virtio
  qemu-system-x86_64 -device virtio-blk-pci,drive=${nodeName(name)} \\
    -blockdev driver=iscsi,node-name=${nodeName(name)},\\
transport=tcp,portal=${portal},\\
target=${iqn},lun=${lun}
`;
}

/** QEMU: at most 31 characters, a letter first. */
function nodeName(name: string): string {
  return `v-${name}`.slice(0, 31);
}
