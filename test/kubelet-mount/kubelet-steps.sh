# What kubelet does with a PersistentVolume of in-tree iSCSI, command by command (pkg/volume/iscsi/iscsi_util.go
# AttachDisk and DetachDisk, mount_linux.go formatAndMountSensitive), and what a pod would do with it then.

PORTAL=$(parameter openebs.portal)
IQN=$(parameter openebs.iqn)
USER=$(parameter openebs.user)
SECRET=$(parameter openebs.secret)
# `first`: the volume is new; `second`: another node has used it.
TURN=$(parameter openebs.turn)
DEVICE=/dev/disk/by-path/ip-$PORTAL-iscsi-$IQN-lun-0
MOUNT=/mnt/pod

iscsi() { must iscsiadm "$@"; }
discovery() { iscsi -m discoverydb -t sendtargets -p "$PORTAL" -I default "$@"; }
node() { iscsi -m node -p "$PORTAL" -T "$IQN" -I default "$@"; }

step udev
mkdir -p /usr/lib/systemd
ln -s /usr/bin/udevadm /usr/lib/systemd/systemd-udevd
must /usr/lib/systemd/systemd-udevd --daemon
must udevadm trigger
must udevadm settle --timeout=60
pass

step discovery
iscsi -m iface -I default -o show
discovery -o new
discovery -o update -n discovery.sendtargets.auth.authmethod -v CHAP
discovery -o update -n discovery.sendtargets.auth.username -v "$USER"
discovery -o update -n discovery.sendtargets.auth.password -v "$SECRET"
discovery --discover
pass

step login
node -o update -n node.session.auth.authmethod -v CHAP
node -o update -n node.session.auth.username -v "$USER"
node -o update -n node.session.auth.password -v "$SECRET"
node --login
pass

step device
# Kubelet waits for half a minute.
must until_true 30 test -b "$DEVICE"
pass

step format
# What is not empty is never formatted.
TYPE=$(blkid -p -s TYPE -o value "$DEVICE")
if [ "$TURN" = first ]; then
  [ -z "$TYPE" ] || fail "the new volume has $TYPE"
  must mkfs.ext4 -F -m0 "$DEVICE"
else
  [ "$TYPE" = ext4 ] || fail "the volume has '$TYPE'"
  e2fsck -p "$DEVICE" || fail "the file system has faults: $?"
fi
pass

step mount
mkdir -p $MOUNT
must mount -t ext4 -o defaults "$DEVICE" $MOUNT
pass

step pod
if [ "$TURN" = first ]; then
  must cp -a /usr/bin $MOUNT/
else
  [ -s $MOUNT/sums ] || fail 'what the first node wrote is not there'
fi
(cd $MOUNT/bin && find . -type f | sort | xargs sha256sum) >/tmp/sums
if [ "$TURN" = first ]; then must cp /tmp/sums $MOUNT/sums; else must cmp /tmp/sums $MOUNT/sums; fi
wc -l $MOUNT/sums
pass

step detach
must umount $MOUNT
node --logout
node -o delete
must until_true 20 test ! -e "$DEVICE"
pass
