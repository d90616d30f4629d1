# shellcheck shell=sh disable=SC2154
# File systems on a replicated volume; guest-init.sh has the words that are used here.

mkdir -p /mnt/ext4 /mnt/xfs
PORTAL=$(parameter openebs.portal)
IQN=$(parameter openebs.iqn)

setting() { must iscsiadm -m node -T "$IQN" -p "$PORTAL" -o update -n "$1" -v "$2"; }
login() { must iscsiadm -m node -T "$IQN" -p "$PORTAL" --login; }
logout() { must iscsiadm -m node -T "$IQN" -p "$PORTAL" --logout; }
# Checksums of every file below, in the order of names.
sums() { (cd "$1" && find . -type f | sort | xargs sha256sum); }

step discovery
must iscsiadm -m discovery -t sendtargets -p "$PORTAL" | tee /tmp/discovered
grep -qF "$PORTAL,1 $IQN" /tmp/discovered || fail 'the target is not in the answer'
pass

step wrong-secret
setting node.session.auth.authmethod CHAP
setting node.session.auth.username "$(parameter openebs.user)"
setting node.session.auth.password not-the-secret
setting node.session.initial_login_retry_max 1
if iscsiadm -m node -T "$IQN" -p "$PORTAL" --login; then fail 'it let us in'; fi
pass

step login
setting node.session.auth.password "$(parameter openebs.secret)"
setting node.session.auth.username_in "$(parameter openebs.target-user)"
setting node.session.auth.password_in "$(parameter openebs.target-secret)"
login
must until_true 20 test -b /dev/sda
blockdev --getsize64 /dev/sda
pass

step discard
must dd if=/dev/urandom of=/tmp/pattern bs=1M count=2
must dd if=/tmp/pattern of=/dev/sda bs=1M oflag=direct
forget
must cmp -n 2097152 /tmp/pattern /dev/sda
must blkdiscard -o 0 -l 1048576 /dev/sda
forget
must cmp -n 1048576 /dev/zero /dev/sda
dd if=/dev/sda of=/tmp/second bs=1M skip=1 count=1 iflag=direct
dd if=/tmp/pattern of=/tmp/expected bs=1M skip=1 count=1
must cmp /tmp/expected /tmp/second
pass

step partition
must dd if=/dev/zero of=/dev/sda bs=1M count=2 oflag=direct
# The second one begins at an odd sector: its 4 KiB blocks lie across two of the volume's.
printf 'n\np\n1\n2048\n821247\nn\np\n2\n821311\n\nw\n' | fdisk -u /dev/sda >/tmp/fdisk.log
must until_true 10 test -b /dev/sda2
[ "$(cat /sys/block/sda/sda1/start)" = 2048 ] || fail "$(cat /tmp/fdisk.log)"
[ "$(cat /sys/block/sda/sda2/start)" = 821311 ] || fail "$(cat /tmp/fdisk.log)"
pass

step ext4
must mkfs.ext4 -q -F /dev/sda1
must mount -t ext4 /dev/sda1 /mnt/ext4
must cp -a /usr/bin /mnt/ext4/
pass

step xfs
must mkfs.xfs -q -f /dev/sda2
must mount -t xfs /dev/sda2 /mnt/xfs
must cp -a /usr/bin /mnt/xfs/
pass

step fio
# shellcheck disable=SC2086
FIO='--ioengine=libaio --direct=1 --iodepth=16 --size=16M --verify=crc32c --verify_fatal=1 --do_verify=1'
FIO="$FIO --thread --output-format=terse --terse-version=3"
must fio --name=small --directory=/mnt/ext4 --rw=randwrite --bs=4k $FIO >/tmp/fio.1
must fio --name=mixed --directory=/mnt/xfs --rw=randwrite --bsrange=512-256k --bs_unaligned=0 \
  --blockalign=512 $FIO >/tmp/fio.2
must fio --name=large --directory=/mnt/xfs --rw=write --bs=1M $FIO >/tmp/fio.3
pass

step fstrim
must rm /mnt/ext4/small.0.0
must sync
must fstrim -v /mnt/ext4
must fstrim -v /mnt/xfs
pass

step unmount
sums /mnt/ext4 >/tmp/ext4.before
sums /mnt/xfs >/tmp/xfs.before
[ -s /tmp/ext4.before ] && [ -s /tmp/xfs.before ] || fail 'there are no files'
must sync
must umount /mnt/ext4 /mnt/xfs
logout
must until_true 20 gone
pass

step digests
setting 'node.conn[0].iscsi.HeaderDigest' CRC32C
setting 'node.conn[0].iscsi.DataDigest' CRC32C
login
must until_true 20 test -b /dev/sda2
grep -q . /sys/class/iscsi_connection/*/header_digest || fail 'no connection in sysfs'
for DIGEST in /sys/class/iscsi_connection/*/*_digest; do
  [ "$(cat "$DIGEST")" = 1 ] || fail "$DIGEST is $(cat "$DIGEST")"
done
pass

step compare
must mount -t ext4 /dev/sda1 /mnt/ext4
must mount -t xfs /dev/sda2 /mnt/xfs
sums /mnt/ext4 | must cmp - /tmp/ext4.before
sums /mnt/xfs | must cmp - /tmp/xfs.before
pass

step restart
fio --name=restart --directory=/mnt/ext4 --rw=randwrite --bs=4k $FIO --runtime=30 --time_based \
  >/tmp/fio.4 2>&1 || fail "fio: $(cat /tmp/fio.4)"
must until_true 60 grep -q LOGGED_IN /sys/class/iscsi_session/*/state
must umount /mnt/ext4 /mnt/xfs
must e2fsck -f -n /dev/sda1
must mount -t ext4 /dev/sda1 /mnt/ext4
sums /mnt/ext4 | grep -v restart | must cmp - /tmp/ext4.before
must umount /mnt/ext4
logout
must until_true 20 gone
pass

step two-sessions
setting node.session.nr_sessions 2
login
must until_true 20 disk_count 2
set -- $(disks)
ONE=/dev/$1
TWO=/dev/$2
[ "$(cat "/sys/block/$1/device/wwid")" = "$(cat "/sys/block/$2/device/wwid")" ] ||
  fail 'the two disks have different identities'
for ROUND in 1 2 3 4; do
  must dd if=/dev/urandom of=/tmp/pattern bs=256k count=4
  must dd if=/tmp/pattern of="$ONE" bs=256k seek=$((ROUND * 16)) oflag=direct
  must dd if="$TWO" of=/tmp/read bs=256k skip=$((ROUND * 16)) count=4 iflag=direct
  must cmp /tmp/pattern /tmp/read
  SWAP=$ONE
  ONE=$TWO
  TWO=$SWAP
done
pass

step lost-path
SESSION=$(iscsiadm -m session | sed -n '1s/^tcp: \[\([0-9]*\)\].*/\1/p')
must iscsiadm -m session -r "$SESSION" -u
must until_true 20 disk_count 1
REST=/dev/$(disks)
must dd if="$REST" of=/tmp/read bs=256k skip=64 count=4 iflag=direct
must cmp /tmp/pattern /tmp/read
logout
must until_true 20 gone
pass
