#!/usr/bin/env bash
# A whole Ceph in one script: monitor, OSD in memory, RADOS gateway with one user. It runs as the
# first process of the namespaces that run.sh makes, inside the tree that build-root.sh made: when
# it ends, for whatever reason, the kernel takes the daemons with it.
#
#   cluster.sh PORT ACCESS SECRET
#
# Logs go to /mnt, all state to the tmpfs at /run.
set -euo pipefail

port=$1 access=$2 secret=$3
# Everything internal listens on a loopback address of its own, made of the port, so that clusters
# side by side cannot collide: 127.0.0.1:20480 has 127.80.0.1.
internal=127.$((port >> 8)).$((port & 255)).1
monitor="[v2:$internal:$port/0]"
fsid=$(</proc/sys/kernel/random/uuid)
osd=$(</proc/sys/kernel/random/uuid)
state=/run/ceph
mkdir -p $state/mon $state/osd

export CEPH_CONF=$state/ceph.conf
cat >$CEPH_CONF <<CONFIG
[global]
fsid = $fsid
mon host = $monitor
public addr = $internal
# Without it, half of the OSD listens on every interface.
cluster addr = $internal
# The older protocol would want as many ports again.
ms bind msgr1 = false

# No keys between daemons: the cluster lives for one test run, on loopback.
auth cluster required = none
auth service required = none
auth client required = none
# Encrypted sessions need those keys, and the monitors insist on them unless told otherwise;
# clients then hang without a word.
ms mon client mode = crc

run dir = $state
mon data = $state/mon
osd data = $state/osd
log file = /mnt/\$name.log

# Room for a few large multipart uploads; it takes what is stored, not this much.
osd objectstore = memstore
memstore device bytes = 4294967296
# One OSD on one host: placement rules that ask for more never become active.
osd pool default size = 1
mon allow pool size one = true
# The monitor batches map changes for a second by default; creating seven pools waits for each.
paxos propose interval = 0.01

[client.rgw.a]
# Without tcp_nodelay a small answer waits 40 ms for an acknowledgement.
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw enable apis = s3, notifications
# Their receivers are on loopback too, and without TLS.
rgw allow notification secrets in cleartext = true
# 512 threads by default.
rgw thread pool size = 16
# There is no other site to replicate to.
rgw run sync thread = false
CONFIG

step() {
  local what=$1
  shift
  echo "$what" >&2
  timeout 60 "$@" || { echo "failed: $what" >&2; exit 1; }
}

monmaptool --create --clobber --fsid "$fsid" --addv a "$monitor" $state/monmap >/mnt/monmap.out
step "make monitor" ceph-mon --mkfs -i a --monmap $state/monmap
ceph-mon -f -i a >/mnt/mon.out 2>&1 &
step "register osd" ceph osd new "$osd"
step "make osd" ceph-osd --mkfs -i 0 --osd-uuid "$osd"
ceph-osd -f -i 0 >/mnt/osd.out 2>&1 &
# Before the gateway starts: once it answers, the user is there.
step "make user" radosgw-admin -n client.rgw.a user create --uid=attachery \
  --display-name=attachery --access-key="$access" --secret-key="$secret" >/mnt/user.json
# One who may do only what a bucket's policy allows.
step "make guest" radosgw-admin -n client.rgw.a user create --uid=guest \
  --display-name=guest --access-key="${access}GUEST" --secret-key="$secret" >/mnt/guest.json
radosgw -f -n client.rgw.a >/mnt/rgw.out 2>&1 &
echo "serving on 127.0.0.1:$port"

wait -n || true
echo "a daemon has ended"
exit 1
