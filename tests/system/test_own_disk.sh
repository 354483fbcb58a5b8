#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A node whose own disk takes nothing any more: full, read-only, broken. Others' disks are well: what
# is pushed through it is carried past it, and is on three of theirs before it is acknowledged.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

node_config() {
    local sizes=(64M 64M 128M 512M 512M 0 64M)
    local storage=${sizes[$(($1 - 1))]}
    [ "$1" != 7 ] || echo "roles: [run]"
    echo "contribute: {cpu: \"1.0\", memory: 256M, disk: 16M, storage: $storage, keep_free: 0%, pids: 256}"
}
# File systems that can break: ext4 in a file. An error that it finds makes it read-only; and it has a
# call to shut it down, EIO from then on.
disk_that_breaks() {
    local state
    state=$(dir_of "$1")/state
    mkdir -p "$state"
    truncate -s 256M "$WORK/disk$1"
    mkfs.ext4 -q "$WORK/disk$1"
    mount -o loop,errors=remount-ro "$WORK/disk$1" "$state"
    chmod 755 "$state"
}
disk_becomes_readonly() {
    echo 1 >"/sys/fs/ext4/$(basename "$(findmnt -no SOURCE "$(dir_of "$1")/state")")/trigger_fs_error"
}
disk_breaks() {
    python3 -c 'import fcntl, struct, sys, os
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))' "$(dir_of "$1")/state"
}
own_disks_end() {
    local i
    for i in 2 3; do
        node_kill "$i" || true
        ! mountpoint -q "$(dir_of "$i")/state" || umount "$(dir_of "$i")/state" || true
    done
}
community_new 7
AT_END=own_disks_end
node_disk 1 96m
disk_that_breaks 2
disk_that_breaks 3
community_start

bundle() { # NAME: three megabytes that nobody has yet
    mkdir -p "$WORK/$1"
    cp /bin/busybox "$WORK/$1/"
    head -c 3000000 /dev/urandom >"$WORK/$1/data"
    printf '%s\n' "name: $1" 'resources: {cpu: 0.1, memory: 16M, disk: 8M, pids: 16}' \
        'command: [/busybox, httpd, -f, -p, "8080", -h, /]' 'ports: [{name: http, container: 8080}]' >"$WORK/$1/service.yaml"
}
# A broken disk's folder may not be read any more: what can be is listed. Node 7 has only what it uses itself.
chunks() { { find "$WORK"/n[1-6]/state/agent/chunks -type f -printf '%f\n' 2>/dev/null || true; } | sort; }
pushed() { # I NAME: and three disks have each chunk of it that nobody had before
    chunks | uniq >"$WORK/known"
    minga "$1" push "$WORK/$2" && has_three
}
has_three() {
    chunks | uniq -c | grep -vFf "$WORK/known" | awk '$1 < 3 { few = 1 } END { exit few || NR < 3 }'
}
chunk_count() { find "$(dir_of "$1")/state/agent/chunks" -type f 2>/dev/null | wc -l; }
# One after the other: in the end a single node is left, and it gives the disk of two.
runs_and_serves() {
    minga 4 start "$1" --wait=90s && wait_until 30 served "$1" && minga 4 stop "$1"
}
runs_here() { [ "$(minga 4 --json status "$1" | jq '.services[0].running')" = "$2" ]; }
served() { [ "$(answers "$(minga 4 locate "$1" | head -n 1)" /data | sha256sum)" = "$(sha256sum <"$WORK/$1/data")" ]; }

# --- a member that runs, and stores nothing for others
bundle elsewhere
check "through a node that stores nothing for others: on three others" pushed 7 elsewhere
minga 4 scale elsewhere 6 >/dev/null
minga 4 start elsewhere >/dev/null
within 60 "six run, one of them there" eval 'runs_here elsewhere 6 && minga 7 --json node | jq -e ".replicas | length == 1"'
minga 4 rm elsewhere >/dev/null
node_kill 7
within 15 "six are left" sees_members 4 6

# --- full
before=$(chunk_count 1)
cat /dev/zero >"$(dir_of 1)/state/filler" 2>/dev/null || true
bundle full
check "through a node whose disk is full: on three others" pushed 1 full
check "and it has nothing of it" [ "$(chunk_count 1)" = "$before" ]
check "it starts, and serves what was pushed" runs_and_serves full
check "minga storage says what is wrong" eval 'minga 1 --json storage | jq -e ".share.refuses | test(\"full|No space\")"'
# Who refuses runs nothing new: four others do.
refuses() { minga "$1" --json node | jq -e --arg why "$2" '.state == "disk refuses" and (.reason | test($why))'; }
no_replica_on() { [ "$(minga 4 --json status full | jq --arg node "$(name_of "$1")" '[.services[0].replicas[] | select(.node_name == $node)] | length')" = 0 ]; }
within 30 "minga node says that nothing new is run there, and why" refuses 1 "disk takes nothing: .*(full|No space)"
minga 4 scale full 5 >/dev/null
minga 4 start full >/dev/null
within 60 "five are wanted: four run" runs_here full 4
check "none of them there" no_replica_on 1
within 30 "minga status says why it is no more" eval 'minga 4 status full | grep -q "only 4 nodes can run it; the others.* disks take nothing"'
minga 4 stop full --wait=60s >/dev/null || true
rm "$(dir_of 1)/state/filler"
bundle again
mkdir "$WORK/again/many" # so many that it is the home of some
for i in {1..100}; do head -c 1000 /dev/urandom >"$WORK/again/many/$i"; done
within 40 "room was made: it takes replicas again" eval '[ "$(minga 1 --json node | jq -r .state)" = ready ]'
check "room was made: it keeps again what is pushed" eval 'pushed 1 again && [ "$(chunk_count 1)" -gt "$before" ]'

# --- read-only
disk_becomes_readonly 2
bundle readonly
check "the disk of a node is read-only" eval '! touch "$(dir_of 2)/state/x"'
check "through that node" pushed 2 readonly
check "it starts and serves" runs_and_serves readonly
within 30 "minga node says so" refuses 2 "disk takes nothing"

# --- broken
disk_breaks 3
bundle broken
check "the disk of a node is broken" eval '! touch "$(dir_of 3)/state/x"'
check "through that node" pushed 3 broken
check "it starts and serves" runs_and_serves broken
within 30 "minga node says so" refuses 3 "disk takes nothing"

# --- a member that gives no storage
bundle nothing
check "through a node that gives no storage" pushed 6 nothing
check "and it has nothing of it" [ "$(chunk_count 6)" = 0 ]

# --- fewer than three others: on as many disks as there are, and what lies on one alone is said
for i in 2 3 6; do node_kill "$i"; done
within 15 "three are left" sees_members 1 3
cat /dev/zero >"$(dir_of 1)/state/filler" 2>/dev/null || true
bundle few
check "with two others: on both" eval '[ "$(minga 1 --json push "$WORK/few" | jq .copies)" = 2 ]'
node_kill 5
within 15 "two are left" sees_members 1 2
bundle alone
check "with one other: on that one" eval 'minga 1 push "$WORK/alone" 2>"$WORK/said"'
check "and it is said that it lies there alone" grep -q "lies on one disk alone" "$WORK/said"
check "it starts and serves" runs_and_serves alone
rm "$(dir_of 1)/state/filler"
