#!/bin/sh
# The first process of a node, in namespaces of its own (mount, net, pid, uts, ipc, cgroup): makes
# them look like a machine, then runs containerd, kubelet and kube-proxy. When it is killed the
# kernel kills everything in the node with it: the power is off.
#
# OPENEBS_NODE_NAME, _NUMBER, _ADDRESS, _GATEWAY, _DIRECTORY, _PROGRAMS come from cluster-node.ts.
set -eu
umask 022

directory=$OPENEBS_NODE_DIRECTORY
programs=$OPENEBS_NODE_PROGRAMS

# The link to the other machines is put in from outside; then this FIFO is written.
read -r _ < "$directory/link"

hostname "$OPENEBS_NODE_NAME"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
if [ -e "$directory/cgroup-v2" ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # Processes may not live where controllers are handed on.
  mkdir -p /sys/fs/cgroup/node
  for pid in $(cat /sys/fs/cgroup/cgroup.procs); do
    echo "$pid" > /sys/fs/cgroup/node/cgroup.procs 2> /dev/null || true
  done
  for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
  done
else
  mount -t tmpfs tmpfs /sys/fs/cgroup
  while IFS=: read -r _ controllers _; do
    [ -n "$controllers" ] || continue
    mkdir "/sys/fs/cgroup/${controllers#name=}"
    case $controllers in
      name=*) mount -t cgroup -o "none,$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}" ;;
      *) mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers" ;;
    esac
  done < /proc/self/cgroup
fi
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/cni
# The node's own disk: it is there again when the power is.
mount --bind "$directory/var" /var
mount --make-rshared /

ip link set lo up
ip address add "$OPENEBS_NODE_ADDRESS/24" dev eth0
ip link set eth0 up
ip route add default via "$OPENEBS_NODE_GATEWAY"
echo 1 > /proc/sys/net/ipv4/ip_forward

export PATH="$programs:/usr/sbin:/usr/bin:/sbin:/bin"

keep() {
  name=$1
  shift
  while :; do
    "$@" >> "/var/log/$name.log" 2>&1 || true
    sleep 1
  done
}

keep containerd containerd --config "$directory/containerd.toml" &
until ctr version > /dev/null 2>&1; do sleep 0.1; done
: > "$directory/containerd-answers"
keep kubelet kubelet --config="$directory/kubelet.json" --kubeconfig="$directory/kubelet.conf" \
  --hostname-override="$OPENEBS_NODE_NAME" --node-ip="$OPENEBS_NODE_ADDRESS" \
  --node-labels="topology.kubernetes.io/zone=zone-$OPENEBS_NODE_NUMBER" \
  --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki &
keep kube-proxy kube-proxy --config="$directory/kube-proxy.json" &
wait
