#!/bin/sh
# The first process of the virtual machine: goes through /scenario.sh and tells the serial console how each step went,
#   @@ begin NAME    @@ pass NAME    @@ fail NAME: why
# A step that fails ends the scenario: what follows would fail for the same reason.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mkdir -p /run/lock/iscsi /dev/shm /tmp
mount -t tmpfs tmpfs /tmp
ln -s /proc/self/fd /dev/fd
dmesg -n 4

step() {
  STEP=$1
  echo "@@ begin $STEP"
}
pass() { echo "@@ pass $STEP"; }
fail() {
  echo "@@ fail $STEP: $*"
  dmesg | tail -n 40
  poweroff -f
  sleep 60
}
# Runs a command; its output is shown, and its failure ends the scenario.
must() { "$@" || fail "$* ended with $?"; }

parameter() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }

# until_true SECONDS command...
until_true() {
  LEFT=$(($1 * 10))
  shift
  while ! "$@" >/dev/null 2>&1; do
    LEFT=$((LEFT - 1))
    [ $LEFT -gt 0 ] || return 1
    sleep 0.1
  done
}

disks() { ls /sys/block | grep '^sd'; }
gone() { [ -z "$(disks)" ]; }
disk_count() { [ "$(disks | wc -l)" = "$1" ]; }
# Forgets what is cached, so that the next read asks the target.
forget() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
}

step boot
for MODULE in /modules/*; do must insmod "$MODULE"; done
must ip link set lo up
must until_true 10 test -e /sys/class/net/eth0
must ip link set eth0 up
must ip address add 10.0.2.15/24 dev eth0
must ip route add default via 10.0.2.2
iscsid -f >/tmp/iscsid.log 2>&1 &
# Until the daemon answers.
must until_true 20 iscsiadm -m iface
pass

. /scenario.sh

step end
pass
poweroff -f
