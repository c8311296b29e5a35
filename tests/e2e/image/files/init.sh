#!/bin/sh
# The guest's init, without systemd: mounts, network, modules, the services of an initiator; then it becomes the agent.
# The kernel's command line tells e2e.name=NAME and e2e.address=ADDRESS/BITS.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C LC_ALL=C TERM=dumb
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /dev/pts /dev/shm /run/lock /run/udev /run/lvm /run/log
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t debugfs debugfs /sys/kernel/debug
ln -s /proc/self/fd /dev/fd

read -r words < /proc/cmdline
for word in $words; do
    case $word in
    e2e.name=*) name=${word#*=} ;;
    e2e.address=*) address=${word#*=} ;;
    esac
done
echo "$name" > /proc/sys/kernel/hostname
echo "127.0.0.1 localhost $name" > /etc/hosts
echo "InitiatorName=iqn.1993-08.org.debian:01:$name" > /etc/iscsi/initiatorname.iscsi
ip link set lo up
ip link set eth0 up
ip addr add "$address" dev eth0

modprobe -aq iscsi_tcp sd_mod sg dm_mod dm_multipath dm_round_robin dm_queue_length dm_service_time scsi_dh_alua
/lib/systemd/systemd-udevd --daemon --children-max=4
/sbin/iscsid > /run/log/iscsid.log 2>&1
/sbin/multipathd > /run/log/multipathd.log 2>&1
exec /usr/bin/python3 /usr/lib/e2e/agent.py
