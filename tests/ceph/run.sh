#!/usr/bin/env bash
# Runs a fresh Ceph on 127.0.0.1:PORT in the foreground, as root or as any user who may make user
# namespaces. SIGTERM or SIGINT ends it; so does its own death, or its parent's, by any signal.
#
#   run.sh ROOT DIR PORT ACCESS SECRET
#
# ROOT is what build-root.sh printed and stays untouched, DIR an empty folder for the logs.
# Mounts and processes live in namespaces of their own: with the first process in there, the
# kernel ends all others and drops the mounts, so there is nothing to clean up.
set -euo pipefail

# Three roles: enter becomes supervise, which forks init, which becomes cluster.sh.

enter() {
  local user=()
  [[ $EUID -eq 0 ]] || user=(--user --map-root-user)
  # No --fork, which would wait with SIGTERM blocked: this process stays outside of the process
  # namespace, and only its children are inside.
  exec unshare "${user[@]}" --mount --propagation private --pid \
    setpriv --pdeathsig KILL "$BASH" "$0" supervise "$@"
}

supervise() {
  # The first fork, hence the first process of the namespace.
  setpriv --pdeathsig KILL "$BASH" "$0" init "$@" &
  local init=$!
  # Nothing in memory is worth an orderly end. The wait lasts until the namespace is empty.
  # shellcheck disable=SC2064
  trap "exec 2>/dev/null; kill -KILL $init; wait $init || exit 0" TERM INT HUP
  wait $init
}

init() {
  local root=$1 logs=$2
  shift 2
  cp -- "$(dirname -- "$0")/cluster.sh" "$logs/cluster.sh"
  mount --rbind "$root" "$root"
  mount -o remount,bind,ro "$root"
  mount --bind "$logs" "$root/mnt"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mount --rbind /dev "$root/dev"
  # Refused in containers that hide parts of /proc; their own will do.
  mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
    chroot "$root" bash /mnt/cluster.sh "$@"
}

case ${1:-} in
  supervise | init)
    "$@"
    ;;
  *)
    (($# == 5)) || { echo "usage: run.sh ROOT DIR PORT ACCESS SECRET" >&2; exit 2; }
    enter "$@"
    ;;
esac
