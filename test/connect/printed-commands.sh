# shellcheck shell=sh disable=SC2154
# The printed commands of open-iscsi, as they are; guest-init.sh has the words that are used here.

# 127.0.0.1 of a printed portal is this machine here: what reaches a port of it goes on to the host's.
for PORT in $(parameter openebs.ports | tr , ' '); do
  printf '#!/bin/sh\nexec nc 10.0.2.2 %s\n' "$PORT" >"/tmp/to-$PORT"
  chmod +x "/tmp/to-$PORT"
  nc -ll -p "$PORT" -e "/tmp/to-$PORT" &
done
mkdir -p /usr/lib/systemd
ln -s /usr/bin/udevadm /usr/lib/systemd/systemd-udevd
must /usr/lib/systemd/systemd-udevd --daemon

for VOLUME in $(parameter openebs.volumes | tr , ' '); do
  step "$VOLUME"
  must sh -ex "/printed/$VOLUME-in.sh"
  set -- /dev/disk/by-path/*
  must dd if=/dev/urandom of=/tmp/pattern bs=1M count=1
  must dd if=/tmp/pattern of="$1" bs=1M oflag=direct
  forget
  must cmp -n 1048576 /tmp/pattern "$1"
  must sh -ex "/printed/$VOLUME-out.sh"
  must until_true 20 gone
  iscsiadm -m node && fail 'a node is left behind'
  pass
done
