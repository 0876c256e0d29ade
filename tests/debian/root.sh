# Builds a Debian root folder with mmdebstrap, once per machine. Source this file, then call
#
#   debian_root NAME RECIPE PACKAGES SIZE SUITE...
#
# which prints the folder's path (and nothing else) to stdout. RECIPE is a number: raise it with any
# change of the contents, so that machines with an older folder build a new one. SIZE is for people.
# Suites are tried in order. A suite counts only if `check_root FOLDER`, which the caller defines,
# succeeds; it may append its reason to $log. The caller may define `reasons`, which prints lines of
# REASON|PATTERN, to explain a failure from the log.
#
# TEST_ATTACHERY_CACHE           where to keep it (default: ${XDG_CACHE_HOME:-~/.cache}/attachery)
# TEST_ATTACHERY_DEBIAN_MIRROR   where to get it (default: this machine's own Debian mirror)
# shellcheck shell=bash

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
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
  # An update may fail for a third-party source that has nothing to do with this project.
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

# bootstrap SUITE FOLDER
bootstrap() {
  local suite=$1 folder=$2 line source
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
  while IFS= read -r line; do # mmdebstrap ignores the machine's apt settings
    options+=(--aptopt="$line")
  done < <(apt-config dump --format '%f "%v";%n' Acquire::http::Proxy Acquire::https::Proxy)
  source="deb [signed-by=\"$(find_keyring)\"] $mirror $suite main"
  # The signal on death: a killed build must not go on in the background.
  if [[ $EUID -eq 0 ]]; then
    setpriv --pdeathsig TERM mmdebstrap --mode=root "${options[@]}" "$suite" "$folder" "$source"
  else
    # By way of a tar, so that the files belong to the user and not to a range of foreign ids.
    TMPDIR=/var/tmp setpriv --pdeathsig TERM \
      mmdebstrap --mode=unshare --format=tar "${options[@]}" "$suite" - "$source" |
      tar -x -C "$folder" --no-same-owner --exclude='./dev/*'
  fi </dev/null >>"$log" 2>&1
}

# in_root FOLDER COMMAND...
in_root() {
  if [[ $EUID -eq 0 ]]; then chroot "$@"; else unshare --user --map-root-user chroot "$@"; fi
}

known_reasons() {
  if declare -F reasons >/dev/null; then reasons; fi
  cat <<'REASONS'
the disk is full|no space left on device
the mirror cannot be reached|could not resolve|could not connect|unable to connect|connection (timed out|failed|refused)
the mirror's signature is by a key that this machine does not have (update debian-archive-keyring)|NO_PUBKEY|signatures couldn't be verified|missing key
the mirror does not have the suite (set another one: TEST_ATTACHERY_DEBIAN_MIRROR)|failed to fetch .*Release|does not have a Release file
the suite has no installable packages of these names|unable to locate package|unmet dependencies|not installable|no installation candidate
this machine does not allow namespaces or mounts (a container without the rights?)|operation not permitted|newuidmap|subuid
REASONS
}

explain() {
  local pattern reason
  while IFS='|' read -r reason pattern; do
    if grep -qiE "$pattern" "$log"; then
      echo "$reason"
      return
    fi
  done < <(known_reasons)
  echo "no known reason"
}

# build SUITE...
build() {
  local suite workspace
  for suite in "$@"; do
    workspace=$(mktemp -d "$root.tmp.XXXXXX")
    chmod 755 "$workspace"
    echo "== $suite from $mirror" >>"$log"
    if bootstrap "$suite" "$workspace" && check_root "$workspace"; then
      mv -T "$workspace" "$root"
      return
    fi
    discard "$workspace"
  done
  fail "could not build ${root##*/} ($*) from $mirror: $(explain); log: $log"
}

discard() {
  rm -rf --one-file-system -- "$@"
}

debian_root() {
  local name=$1 recipe=$2 packages=$3 size=$4 cache root log mirror
  shift 4
  cache=$(cache_folder)
  root=$cache/$name-root-$recipe-$(uname -m)
  log=$root.log
  if [[ ! -d $root ]]; then
    (umask 077 && mkdir -p "$cache") 2>/dev/null || fail "cannot create $cache (set TEST_ATTACHERY_CACHE)"
    # A path anybody can guess: somebody else's folder may wait there.
    [[ $cache != /var/tmp/* || -O $cache ]] || fail "$cache is somebody else's (set TEST_ATTACHERY_CACHE)"
    # Children inherit the lock, so that the rest of a killed build keeps others out to its end.
    exec 9>"$root.lock"
    flock -w 1800 9 || fail "another process has been building $root for half an hour"
    if [[ ! -d $root ]]; then
      discard "$root".tmp.*
      # shellcheck disable=SC2064  # the path as it is now
      trap "discard '$root'.tmp.*" EXIT
      trap 'exit 143' TERM INT HUP
      : >"$log"
      echo "${0##*/}: building $root, about a minute and $size" >&2
      install_tools
      mirror=$(find_mirror)
      build "$@"
    fi
  fi
  echo "$root"
}
