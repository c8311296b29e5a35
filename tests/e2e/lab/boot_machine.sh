#!/bin/sh
# Process 1 of a machine: enters its root and waits for the end of the machine. Runs in new mount, pid, uts and ipc namespaces.
#   boot_machine.sh NAME LAYERS DIRECTORY [BLOCK-DEVICE]
# LAYERS: the lower layers of its root, joined by colons. DIRECTORY: has disk (what the machine wrote), work and root.
# Prints "up" when the machine is up.
set -eu
name=$1 layers=$2 directory=$3 device=${4:-}
mount --make-rprivate /
tries=0
# The machine's former life may still be letting go of its disk.
until mount -t overlay overlay -o "lowerdir=$layers,upperdir=$directory/disk,workdir=$directory/work" "$directory/root"; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || exit 1
    sleep 0.1
done
cd "$directory/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
# The kernel is everybody's: nothing in the machine may stop it, and disks that are not the machine's own are not shown.
if [ -e proc/sysrq-trigger ]; then
    mount --bind proc/sysrq-trigger proc/sysrq-trigger
    mount -o remount,bind,ro proc/sysrq-trigger
fi
mount -t tmpfs block sys/block
[ -z "$device" ] || ln -s "../devices/virtual/block/${device##*/}" sys/block/
mount -t tmpfs -o mode=755 dev dev
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    kind=${node%%:*} numbers=${node#*:}
    mknod -m 666 "dev/$kind" c "${numbers%:*}" "${numbers#*:}"
done
[ -z "$device" ] || cp -a "$device" dev/
ln -s /proc/self/fd dev/fd
for stream in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${stream#*:}" "dev/${stream%:*}"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mkdir -m 1777 run/lock
echo "$name" > /proc/sys/kernel/hostname
pivot_root . mnt
umount -l /mnt
echo up
# Children that it adopts vanish when they end.
exec python3 -c '
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    signal.pause()
'
