#!/usr/bin/env bash
# Builds the Debian tree with the Ceph daemons that the storage contract suite runs against,
# once per machine, and prints its path. Only the path goes to stdout.
#
#   build-root.sh
#
# TEST_ATTACHERY_CACHE           where to keep it (default: ${XDG_CACHE_HOME:-~/.cache}/attachery)
# TEST_ATTACHERY_DEBIAN_MIRROR   where to get it (default: this machine's own Debian mirror)
set -euo pipefail

# Raise on any change below, so that machines with an older tree build a new one.
readonly recipe=1
# testing first; sid when Ceph is out of testing for a while, or once forky has moved on.
readonly suites=(forky sid)
# The first release that checks the x-amz-checksum-* of an upload.
readonly oldest_ceph=20
readonly packages=radosgw,ceph-mon,ceph-osd,ceph-common

fail() {
  printf 'build-root.sh: %s\n' "$*" >&2
  exit 1
}

cache_folder() {
  local home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
  if [[ -n ${TEST_ATTACHERY_CACHE:-} ]]; then
    echo "$TEST_ATTACHERY_CACHE"
  elif [[ -n ${XDG_CACHE_HOME:-} || -d $home ]]; then
    echo "${XDG_CACHE_HOME:-$home/.cache}/attachery"
  else
    echo "/var/tmp/attachery-$(id -u)" # services and bare containers: no home at all
  fi
}

find_keyring() {
  local file
  for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    [[ -r $file ]] && echo "$file" && return
  done
  return 1
}

missing_tools() {
  command -v mmdebstrap >/dev/null || echo mmdebstrap
  command -v mount >/dev/null || echo mount
  find_keyring >/dev/null || echo debian-archive-keyring
  # Without root, mmdebstrap needs a range of user ids, and these map it.
  [[ $EUID -eq 0 ]] || command -v newuidmap >/dev/null || echo uidmap
}

install_tools() {
  local tools
  mapfile -t tools < <(missing_tools)
  ((${#tools[@]})) || return 0
  [[ $EUID -eq 0 ]] || fail "needs the Debian package(s) ${tools[*]}: apt-get install ${tools[*]}"
  command -v apt-get >/dev/null || fail "needs ${tools[*]}, and there is no apt-get to install it with"
  export DEBIAN_FRONTEND=noninteractive
  # An update may fail for a third-party source that has nothing to do with us.
  apt-get -qy update </dev/null >>"$log" 2>&1 || true
  apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "${tools[@]}" \
    </dev/null >>"$log" 2>&1 || fail "apt-get install ${tools[*]} failed; log: $log"
}

# The machine's own mirror, whatever the format of its sources. The label tells Debian from its
# security archive; it is unknown before the first apt-get update, the path is not.
find_mirror() {
  local found
  # shellcheck disable=SC2016  # apt expands these
  found=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '!seen && ($2 == "Debian" || $1 ~ /^https?:.*\/debian\/?$/) { print $1; seen = 1 }') || true
  echo "${TEST_ATTACHERY_DEBIAN_MIRROR:-${found:-http://deb.debian.org/debian}}"
}

# bootstrap SUITE TREE
bootstrap() {
  local suite=$1 tree=$2 line source
  local options=(
    --variant=essential --include="$packages"
    # Mirrors that stand still (snapshots, caches) outlive their Release file's date. The signature
    # is checked all the same.
    --aptopt='Acquire::Check-Valid-Until "false"'
    --aptopt='Acquire::Retries "3"'
    --aptopt='Acquire::http::Timeout "30"'
    --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/locale/*'
  )
  while IFS= read -r line; do # mmdebstrap does not look at the machine's apt settings
    options+=(--aptopt="$line")
  done < <(apt-config dump --format '%f "%v";%n' Acquire::http::Proxy Acquire::https::Proxy)
  source="deb [signed-by=\"$(find_keyring)\"] $mirror $suite main"
  # The signal on death: a killed build must not go on in the background.
  if [[ $EUID -eq 0 ]]; then
    setpriv --pdeathsig TERM mmdebstrap --mode=root "${options[@]}" "$suite" "$tree" "$source"
  else
    # By way of a tar, so that the files belong to the user and not to a range of foreign ids.
    TMPDIR=/var/tmp setpriv --pdeathsig TERM \
      mmdebstrap --mode=unshare --format=tar "${options[@]}" "$suite" - "$source" |
      tar -x -C "$tree" --no-same-owner --exclude='./dev/*'
  fi </dev/null >>"$log" 2>&1
}

# check_ceph TREE: it starts, and is new enough
check_ceph() {
  local in_tree=(chroot "$1") version
  [[ $EUID -eq 0 ]] || in_tree=(unshare --user --map-root-user chroot "$1")
  version=$("${in_tree[@]}" radosgw --version 2>>"$log") || return
  echo "$version" >>"$log"
  [[ $version =~ ceph\ version\ ([0-9]+)\. ]] && ((BASH_REMATCH[1] >= oldest_ceph)) && return
  echo "too old, want $oldest_ceph" >>"$log"
  return 1
}

explain() {
  local pattern reason
  while IFS='|' read -r reason pattern; do
    if grep -qiE "$pattern" "$log"; then
      echo "$reason"
      return
    fi
  done <<'REASONS'
the disk is full|no space left on device
the mirror cannot be reached|could not resolve|could not connect|unable to connect|connection (timed out|failed|refused)
the mirror's signature is by a key this machine does not know (update debian-archive-keyring)|NO_PUBKEY|signatures couldn't be verified|missing key
the mirror does not have the suite (another one: TEST_ATTACHERY_DEBIAN_MIRROR)|failed to fetch .*Release|does not have a Release file
the suite's Ceph is too old|too old, want
the suite has no installable Ceph at present|unable to locate package|unmet dependencies|not installable|no installation candidate
this machine does not allow namespaces or mounts (a container without the rights?)|operation not permitted|newuidmap|subuid
REASONS
  echo "no known reason"
}

build() {
  local suite
  for suite in "${suites[@]}"; do
    workspace=$(mktemp -d "$root.tmp.XXXXXX")
    chmod 755 "$workspace"
    echo "== $suite from $mirror" >>"$log"
    if bootstrap "$suite" "$workspace" && check_ceph "$workspace"; then
      mv -T "$workspace" "$root"
      return
    fi
    discard "$workspace"
  done
  fail "could not build Ceph (${suites[*]}) from $mirror: $(explain); log: $log"
}

discard() {
  rm -rf --one-file-system -- "$@"
}

cache=$(cache_folder)
root=$cache/ceph-root-$recipe-$(uname -m)
log=$root.log
if [[ ! -d $root ]]; then
  (umask 077 && mkdir -p "$cache") 2>/dev/null || fail "cannot create $cache (set TEST_ATTACHERY_CACHE)"
  # A path anybody can guess: somebody else's tree may wait there.
  [[ $cache != /var/tmp/* || -O $cache ]] || fail "$cache is somebody else's (set TEST_ATTACHERY_CACHE)"
  # Children inherit the lock, so that what is left of a killed build keeps others out to its end.
  exec 9>"$root.lock"
  flock -w 1800 9 || fail "somebody else has been building $root for half an hour"
  if [[ ! -d $root ]]; then
    discard "$root".tmp.*
    trap 'discard "$root".tmp.*' EXIT
    trap 'exit 143' TERM INT HUP
    : >"$log"
    echo "build-root.sh: building $root, about a minute and 570 MB" >&2
    install_tools
    mirror=$(find_mirror)
    build
  fi
fi
echo "$root"
