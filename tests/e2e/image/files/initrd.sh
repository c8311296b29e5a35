#!/bin/busybox sh
# First program of the guest: load what it takes to see the root disk, mount it, hand over to /usr/lib/e2e/init.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module"; done < /modules/order
tries=0
until [ -b /dev/vda ] || [ $tries = 200 ]; do $b usleep 20000; tries=$((tries + 1)); done
$b mount -t ext4 -o noatime /dev/vda /newroot || { echo "initrd: no root disk"; $b poweroff -f; }
for place in proc sys dev; do $b mount --move /$place /newroot/$place; done
exec $b switch_root /newroot /usr/lib/e2e/init
