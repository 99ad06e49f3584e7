#!/bin/sh
# The first process of the machine that test_cgroup_v2.py boots: readies control groups as systemd
# would, and runs the tests of shares in a group of their own, twice: the second time from the leaf
# into which the first has moved it. UNIT is the test, a parameter of the kernel.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 none /sys/fs/cgroup
echo "+cpu +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/service
echo $$ >/sys/fs/cgroup/service/cgroup.procs
cd /
for round in first second; do
    echo "round $round in $(cat /proc/self/cgroup)"
    "$UNIT" </dev/null 2>&1
done
find /sys/fs/cgroup -type d
echo "end of machine"
echo o >/proc/sysrq-trigger
sleep 10
