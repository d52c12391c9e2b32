#!/bin/bash
# The first process of namespaces of its own (unshare in service.py): makes a root of its own above this
# machine's, of which nothing is changed, and becomes systemd. FOLDER has the unit files and keys of the suite.
set -euo pipefail
folder=$1 binary=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder/mount"
mkdir "$folder"/mount/{upper,work,root}
root=$folder/mount/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/mount/upper,workdir=$folder/mount/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
ip link set lo up
hostname serinus-test

# The units of the suite and what they need of systemd's own; nothing else of this machine is started.
rm -rf "$root"/etc/systemd/system "$root/etc/serinus" "$root/var/lib/serinus" "$root/var/lib/private/serinus"
mkdir -p "$root/etc/systemd/system" "$root/units" "$root/etc/serinus"
for unit in sysinit.target basic.target shutdown.target umount.target sockets.target multi-user.target network-online.target \
  systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
  cp "/lib/systemd/system/$unit" "$root/units/"
done
printf '[Unit]\nWants=systemd-journald.service\n' > "$root/units/suite.target"
install -m 0644 "$folder"/units/* "$root/etc/systemd/system/"
install -m 0644 "$folder"/keys/* "$root/etc/serinus/"
install -m 0755 "$binary" "$root/usr/local/bin/serinus"

mkdir "$root/before"
cd "$root"
pivot_root . before
umount -l before
exec env -i container=serinus-suite PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/units SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=notice \
  /lib/systemd/systemd --system --unit=suite.target --show-status=no < /dev/null
