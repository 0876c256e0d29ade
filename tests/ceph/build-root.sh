#!/usr/bin/env bash
# Builds the Debian root folder with the Ceph daemons that the storage contract suite runs against,
# once per machine, and prints its path. See tests/debian/root.sh for the settings.
set -euo pipefail
# shellcheck source=tests/debian/root.sh
source "$(dirname "$0")/../debian/root.sh"

# The first release that checks the x-amz-checksum-* of an upload.
readonly oldest_ceph=20

# check_root FOLDER: Ceph starts, and is new enough
check_root() {
  local version
  version=$(in_root "$1" radosgw --version 2>>"$log") || return
  echo "$version" >>"$log"
  [[ $version =~ ceph\ version\ ([0-9]+)\. ]] && ((BASH_REMATCH[1] >= oldest_ceph)) && return
  echo "too old, want $oldest_ceph" >>"$log"
  return 1
}

reasons() {
  echo "the suite's Ceph is too old|too old, want"
}

# testing first; sid while Ceph is out of testing, or once forky has moved on.
debian_root ceph 1 radosgw,ceph-mon,ceph-osd,ceph-common "570 MB" forky sid
