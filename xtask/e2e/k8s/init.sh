#!/bin/bash
# Process 1 of a cluster: gives its namespaces their mounts and networks, then waits.
#
# usage: init.sh PROGRAMS STATE, under `unshare --mount --net --pid --fork`.
#
# It ends when its standard input does, that is when whoever made the cluster is gone, however that ended; the kernel then ends
# every process below it, and mounts and networks go with the last of them. What it lays down in PROGRAMS and STATE stays.
set -eu
cd /
mount -t proc proc /proc

# One place for both folders, wherever they are, before others are hidden.
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/programs /mnt/state
mount --bind "$1" /mnt/programs
mount --bind "$2" /mnt/state
# containerd, the network plugins and the kubelet have fixed places below these.
for folder in /run /var/lib /var/log; do
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done

# Settings of the kernel that the kubelet insists on, and would change for the whole machine: it sees files with these values.
# Source: kubernetes v1.20.2, `pkg/kubelet/cm/container_manager_linux.go`, `setupKernelTunables`, and `pkg/util/sysctl/sysctl.go`.
mkdir /mnt/settings
while read -r name value; do
    echo "$value" >"/mnt/settings/${name//\//.}"
    mount --bind "/mnt/settings/${name//\//.}" "/proc/sys/$name"
done <<S
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S

# The node's address and that of the service `kubernetes`. There is no way out of here.
ip link set lo up
ip address add 10.200.0.1/32 dev lo
ip address add 10.96.0.1/32 dev lo
echo 1 >/proc/sys/net/ipv4/ip_forward

# The user's machine, at the other end of a cable. Both ends know each other for good, so that no packet that is lost is reported
# by our own kernel.
ip netns add user
ip link add cable type veth peer name plug netns user
ip link set cable address 02:e2:e1:00:00:01
ip -n user link set plug address 02:e2:e1:00:00:02
ip address add 10.201.0.1/30 dev cable
ip link set cable up
ip -n user address add 10.201.0.2/30 dev plug
ip -n user link set lo up
ip -n user link set plug up
ip -n user route add default via 10.201.0.1
ip neighbour replace 10.201.0.2 lladdr 02:e2:e1:00:00:02 dev cable nud permanent
ip -n user neighbour replace 10.201.0.1 lladdr 02:e2:e1:00:00:01 dev plug nud permanent

touch /mnt/state/ready
while read -r _; do :; done
