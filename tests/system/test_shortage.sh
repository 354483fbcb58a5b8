#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is used up: host ports, disks. And what is given up: a push by Ctrl-C. Each is said, nothing
# half-done stays, and it goes on once there is room.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

node_config() {
    cat <<'CONFIG'
contribute: {cpu: "1.0", memory: 256M, disk: 16M, storage: 40M, keep_free: 0%, pids: 256}
CONFIG
}
community_new 2
for i in 1 2; do
    sed -i 's/^network: {/&ports: 31000-31000, /' "$(dir_of "$i")/minga.yaml"
    node_disk "$i" 64m
    node_start "$i"
done
community_form
# bundle NAME LINE...: a folder of that name, with a manifest.
bundle() {
    local root=$WORK/$1
    mkdir -p "$root"
    cp /bin/busybox "$root/"
    echo hello >"$root/index.html"
    printf '%s\n' "name: $1" 'resources: {cpu: 0.1, memory: 16M, disk: 2M, pids: 16}' "${@:2}" >"$root/service.yaml"
}
server='command: [/busybox, httpd, -f, -p, "8080", -h, /]'
note_of() { minga 2 --json status "$1" | jq -r '.services[0] | .reason, (.replicas[], .history[] | .reason)'; }
says() { note_of "$1" | grep -i "$2"; }
state_of() { minga 1 --json status "$1" | jq -r '.services[0].state'; }

# --- ports: each node has one
bundle first "$server" 'replicas: 2' 'ports: [{name: http, container: 8080}]'
bundle second "$server" 'ports: [{name: http, container: 8080}]'
for name in first second; do minga 1 push "$WORK/$name" >/dev/null; done
minga 1 start first --wait=20s >/dev/null || fail "start of the first"
within 5 "the first service has the only ports" all_answer 1 first 2
refused 5 "ports" "without a free port: status 5 and why" minga 1 start second --wait=3s
within 5 "the status names what is used up" says second "ports are used up"
check "the first is not disturbed" all_answer 2 first 2
minga 1 scale first 1 --wait=20s >/dev/null || fail "scale"
within 10 "a port has become free: the second answers" all_answer 2 second 1
for name in first second; do minga 1 stop "$name" --wait=20s >/dev/null; done
# Another's program sits on the port.
nsenter --net="/run/netns/$(ns_of 1)" python3 -c 'import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", 31000)); s.listen(); time.sleep(600)' &
sitter=$!
sleep 0.5
minga 1 start second --wait=30s >/dev/null || fail "start beside another's program"
check "where others use the port it runs on the other node" eval '[ "$(nodes_of 1 second)" = "$(name_of 2)" ]'
minga 1 stop second --wait=20s >/dev/null
kill "$sitter"

# --- logs -f ends with its service
minga 1 start first --wait=20s >/dev/null || fail "start for its logs"
minga 2 logs -f first >"$WORK/followed" 2>&1 &
follower=$!
sleep 1
check "logs -f goes on while the service runs" kill -0 "$follower"
minga 1 stop first --wait=20s >/dev/null
within 10 "logs -f ends when the service is off" is_gone "$follower"
status=0
wait "$follower" || status=$?
check "with status 0" [ "$status" = 0 ]

# --- Ctrl-C
bundle large "$server"
head -c 20000000 /dev/urandom >"$WORK/large/data"
tar -C "$WORK/large" -czf "$WORK/large.tar.gz" .
mkdir "$WORK/tmp"
interruptions=0
interrupted() { # SECONDS WHAT: a push that gets SIGINT after so long; one that was faster is taken back
    local status=0
    HOME=$WORK/home TMPDIR=$WORK/tmp MINGA_SOCKET=$(socket_of 1) env --default-signal=INT \
        timeout --foreground --preserve-status --signal=INT "$1" "$BIN/minga" push "$2" >/dev/null 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        minga 1 rm large --yes >/dev/null
    else
        interruptions=$((interruptions + 1))
    fi
}
workers() { # they hold what they unpack into
    local file
    for file in $(grep -lsz 'minga-unpack$' /proc/[0-9]*/cmdline || true); do
        find "${file%cmdline}fd" -lname "$WORK/*" 2>/dev/null || true
    done
}
half_written() { find "$WORK"/n?/state/agent/chunks -name '.*' -type f; }
for seconds in 0.02 0.05 0.1 0.2; do
    for what in "$WORK/large.tar.gz" "$WORK/large"; do
        interrupted "$seconds" "$what"
        within 5 "nothing of it is left in TMPDIR" is_empty ls -A "$WORK/tmp"
    done
done
check "Ctrl-C ends a push, early and late" [ "$interruptions" -ge 4 ]
check "no worker is left" is_empty workers
within 5 "no half chunk is left" is_empty half_written
refused 4 "" "the service is not known" minga 1 status large
TMPDIR=$WORK/tmp
export TMPDIR
check "and the whole push works" minga 1 push "$WORK/large.tar.gz"
check "and leaves nothing behind" is_empty ls -A "$WORK/tmp"
minga 1 rm large --yes >/dev/null

# --- full disks: what is pushed is larger than the room, though not than the share
# room I: a size of disk that leaves node I twelve megabytes.
room() { echo "$(($(df --output=used -B1M "$(dir_of "$1")/state" | tail -n 1) + 12))m"; }
for i in 1 2; do node_disk "$i" "$(room "$i")"; done
bundle big "$server"
head -c 15000000 /dev/urandom >"$WORK/big/data"
# shellcheck disable=SC2034 # read by eval
version_before=$(minga 1 --json status first | jq '.services[0].version')
chunks() { find "$WORK/n1/state/agent/chunks" -type f | wc -l; }
refused 1 "No space left on device" "a full disk while pushing is said" minga 1 push "$WORK/big"
refused 4 "" "nothing of the service is known" minga 2 status big
check "no half chunk is there" is_empty half_written
check "both nodes are members" sees_members 1 2
check "what was there is there" eval '[ "$(minga 2 --json status first | jq ".services[0].version")" = "$version_before" ]'
for i in 1 2; do cat /dev/zero >"$(dir_of "$i")/state/filler" 2>/dev/null || true; done
bundle late "$server"
head -c 100000 /dev/urandom >"$WORK/late/data" # else only records are new, and the log has room for them
check "with no room at all nothing is pushed" eval '! minga 1 push "$WORK/late"'
minga 1 start first >/dev/null 2>&1 || true
check "the agents live" sees_members 2 2
for i in 1 2; do
    rm "$(dir_of "$i")/state/filler"
    node_disk "$i" 160m
done
check "room was made: a service starts" minga 1 start first --wait=15s
within 5 "and what failed is pushed" minga 1 push "$WORK/big" # a disk that refused lately is tried once a second
check "and starts" minga 1 start big --wait=20s
# What was acknowledged is on the disks, whatever failed before.
for i in 1 2; do node_kill "$i"; done
for i in 1 2; do node_launch "$i"; done
within 15 "after a crash of both everything is known and runs" eval 'has_running 1 big 1 && has_running 2 first 1'
has_running 1 big 1 || minga 1 status >&2

for name in big first; do minga 1 stop "$name" --wait=20s >/dev/null; done
for i in 1 2; do node_stop "$i"; done
disks_end
within 5 "nothing is left behind" is_empty leftovers
