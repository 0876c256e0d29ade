#!/usr/bin/env bash
# Runs a shell command in a copy of this checkout on a fresh Debian 12, in which only python3,
# python3-venv and make are installed, with an empty home and a clean environment.
#
#   run.sh COMMAND
#
# Needs root, for chroot and mount. The command runs in namespaces of its own, so every process that
# it leaves ends with it, and nothing stays mounted. The folder is removed afterwards.
# The machine's way to the package registry is passed on: proxies, indexes, and the certificates of
# SSL_CERT_FILE or PIP_CERT.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  printf 'test-fresh: %s\n' "$*" >&2
  exit 1
}

copy_checkout() {
  mkdir -p "$1"
  git ls-files -z | while IFS= read -r -d '' file; do
    # A file that is removed but not committed yet is still listed.
    if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
  done | tar --create --null --files-from=- | tar --extract --directory "$1" --no-same-owner
}

# Prints NAME=VALUE for each variable that the command gets.
environment() {
  local name certificates=${SSL_CERT_FILE:-${PIP_CERT:-}}
  echo HOME=/root
  echo PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  echo LC_ALL=C.UTF-8
  for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY PIP_INDEX_URL UV_DEFAULT_INDEX; do
    if [[ -n ${!name:-} ]]; then echo "$name=${!name}"; fi
  done
  if [[ -n $certificates ]]; then
    install -D -m 644 "$certificates" "$root/etc/ssl/registry.pem"
    echo SSL_CERT_FILE=/etc/ssl/registry.pem
    echo PIP_CERT=/etc/ssl/registry.pem
  fi
}

[[ $EUID -eq 0 ]] || fail "needs root, for chroot and mount"
command -v git >/dev/null || fail "needs git (Debian: apt-get install git)"

tree=$(tests/fresh/build-root.sh)
work=$(mktemp -d "${tree%/*}/fresh.XXXXXX")
trap 'rm -rf --one-file-system -- "$work"' EXIT
trap 'exit 143' TERM INT HUP
root=$work/root
cp -a --reflink=auto "$tree" "$root"
copy_checkout "$root/src/attachery"
if [[ -e /etc/resolv.conf ]]; then cp --dereference --remove-destination /etc/resolv.conf "$root/etc/"; fi
mapfile -t variables < <(environment)

# shellcheck disable=SC2016  # expanded inside
unshare --mount --propagation private --pid --fork --kill-child=KILL -- bash -euc '
  root=$1 command=$2
  shift 2
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  exec chroot "$root" env -i "$@" sh -euc "cd /src/attachery; $command"
' run "$root" "$1" "${variables[@]}" </dev/null
