# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Ports for members only, reached by `minga connect`: a community of four, the fourth one at home behind a router
# and thus relayed. Source it after community.sh, homes.sh and check.sh; then:
#
#   forwarders_new              makes the community, and waits until node 4 is relayed
#   connect I ARGS...           `minga connect`, at node I's own place
#   forward I NAME ARGS...      one that stays: its process is FORWARDER, all of them are FORWARDERS
#   place_of NAME               where that one listens
#   located I SERVICE PORT      does node I locate all four replicas?
#   counted BYTES               does a node say that its replicas have sent so many?
#   replica_at I SERVICE        the number of the replica that runs on node I
#   is_interrupted PID          does this forwarder end cleanly by Ctrl-C?
#
# What a test adds to FORWARDERS is ended with it, too.

FORWARDERS=()
FORWARDER=
forwarders_end() { kill_pids TERM "${FORWARDERS[@]}"; }
# shellcheck disable=SC2034 # of community.sh
AT_END=forwarders_end

forwarders_new() {
    # shellcheck disable=SC2034 # of homes.sh
    HOME_OF=([4]=left) HOME_AT=([left]=201)
    community_new 4
    community_start
    within 15 "the one at home is relayed" is_reachable 1 4 relayed
}

connect() {
    local i=$1
    shift
    HOME=$WORK/home MINGA_SOCKET=$(socket_of "$i") in_node "$i" "$BIN/minga" connect "$@"
}
forward() {
    local i=$1 name=$2
    shift 2
    HOME=$WORK/home MINGA_SOCKET=$(socket_of "$i") nsenter --net="/run/netns/$(ns_of "$i")" \
        "$BIN/minga" connect "$@" >"$WORK/$name" 2>"$WORK/$name.err" </dev/null &
    FORWARDER=$!
    FORWARDERS+=("$FORWARDER")
    wait_until 30 test -s "$WORK/$name"
}
place_of() { head -n 1 "$WORK/$1"; }

# What runs at home is located once a relay has given it ports.
located() { [ "$(minga "$1" --json locate "$2" --port "$3" | jq '.locations | length')" = 4 ]; }
counted() {
    local i
    for i in 1 2 3 4; do
        minga "$i" --json node |
            jq -e --argjson bytes "$1" '[.replicas[].sent_bytes] | add // 0 | . >= $bytes' >/dev/null && return
    done
    return 1
}
replica_at() {
    minga 1 --json status "$2" | jq -r --arg node "$(name_of "$1")" \
        '.services[0].replicas[] | select(.node_name == $node) | .id' | grep -o '[0-9]$'
}
is_interrupted() { kill -INT "$1" && wait "$1"; }
