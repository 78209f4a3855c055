#!/usr/bin/env bash
# boot.sh DIR [SOURCE:TARGET ...]
#
# Becomes systemd as PID 1, over a throw-away overlay of this machine's root, or of the one that MACHINE_ROOT names; each
# SOURCE is seen read-only at TARGET. MACHINE_KEPT, if not empty, names what Machine.keep has kept of another machine: this
# one begins with what that one had written.
# To be run by supervise.sh, in fresh namespaces with no shared mount. The pid, as the host sees it, is written to DIR/pid.
set -euo pipefail
dir=$1 root=$1/root base=${MACHINE_ROOT%/} kept=$MACHINE_KEPT
shift

# The host's /proc is still mounted here, so this is not 1.
read -r pid _ </proc/self/stat

overlay_branches() { # the root, and what would be missing from its overlay for being a file system of its own
  local branch
  echo /
  if [[ $base ]]; then return; fi
  for branch in /etc /opt /usr /var; do
    if mountpoint -q "$branch"; then echo "$branch"; fi
  done
}

mount_root() {
  local branch name layer
  mkdir -p "$dir/disk" "$root"
  mount -t tmpfs tmpfs "$dir/disk"
  for branch in $(overlay_branches); do
    name=layer${branch//\//-}
    layer=$dir/disk/$name
    mkdir -p "$layer/upper" "$layer/work"
    # Not a lower layer of its own: it lies below the root, and layers must not overlap.
    if [[ $kept ]]; then cp --archive "$kept/$name/." "$layer/upper"; fi
    mount -t overlay overlay -o "lowerdir=$base$branch,upperdir=$layer/upper,workdir=$layer/work" "$root$branch"
  done
}

mount_kernel_interfaces() {
  local node
  mount -t proc proc "$root/proc"
  # Read-only: both are the host kernel's, and systemd sets sysctls and triggers devices at boot where it can write.
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts devpts -o newinstance,ptmxmode=0666 "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
}

be_another() { # than the host, or than the machine that was kept
  systemd-id128 new >"$root/etc/machine-id"
  rm -rf "$root"/var/log/journal/*
  mkdir -p "$root/var/log/journal"
}

forget_the_host() { # its services, and a fleet-health or receiver of its own
  rm -rf "$root"/etc/systemd/system/* \
    "$root"/{opt,etc,var/lib}/fleet-health{,-notify} "$root/usr/local/bin/fleet-health" "$root/var/lib/cis490"
}

show() { # SOURCE TARGET
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}

mount_root
mount_kernel_interfaces
be_another
if [[ ! $kept ]]; then forget_the_host; fi
for pair in "$@"; do show "${pair%%:*}" "${pair#*:}"; done

echo "$pid" >"$dir/pid.new"
mv "$dir/pid.new" "$dir/pid"
exec env -i container=machine PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$root" /lib/systemd/systemd --unit=multi-user.target --show-status=no
