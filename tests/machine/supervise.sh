#!/usr/bin/env bash
# supervise.sh DIR [SOURCE:TARGET ...]
#
# Boots the machine of boot.sh in namespaces and a control group of its own. It lives for as long as standard input stays
# open, so that it cannot outlive whoever holds the other end, however that one dies; no mount is ever seen outside.
set -euo pipefail

if [[ $1 != --inside ]]; then
  exec unshare --mount --propagation unchanged bash "$0" --inside "$@"
fi
shift
dir=$1

# In a chroot / is no mount point; entering the namespace that we are in leads out to the one that is.
mount --make-rprivate / 2>/dev/null || nsenter --mount=/proc/self/ns/mnt mount --make-rprivate /

# Mounted anew, the unified hierarchy is found wherever the host keeps it: at /sys/fs/cgroup, beside v1, or nowhere.
mkdir -p "$dir/cgroup"
mount -t cgroup2 cgroup2 "$dir/cgroup"
group=$dir/cgroup/fleet-health-machine-$$
mkdir "$group"

remove_group() {
  local attempt
  # A killed process leaves its group a moment after its death.
  for attempt in {1..100}; do
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    [[ -d $group ]] || return 0
    sleep 0.05
  done
  echo "$group is still in use after attempt $attempt" >&2
}
trap remove_group EXIT

(
  echo "$BASHPID" >"$group/cgroup.procs"
  exec setsid unshare --mount --propagation unchanged --pid --fork --kill-child \
    --uts --ipc --net --cgroup bash "${0%/*}/boot.sh" "$@" </dev/null
) &
machine=$!

while kill -0 "$machine" 2>/dev/null; do
  status=0
  read -rt 0.2 _ || status=$?
  if ((status <= 128)); then break; fi # 128 and more: nothing came in time
done
kill -9 "$machine" 2>/dev/null || true
wait "$machine" 2>/dev/null || true
