#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# UDP ports for members only: datagrams of members get in by `minga connect`, from the Internet and
# from a home behind a router, to replicas there and at homes, each client for itself; nobody
# else's do, nor those of who is expelled; and they go elsewhere when their replica is gone.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/homes.sh
. "$here/homes.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
# shellcheck source=tests/system/forwarders.sh
. "$here/forwarders.sh"

packages_need python3-minimal libpython3-stdlib
forwarders_new

# client I PLACE TEXT [SOURCE_PORT]: from node I.
client() {
    local i=$1
    shift
    in_node "$i" /usr/bin/python3 "$here/../fixtures/udp_client.py" "$@"
}
# ask I NAME TEXT [SOURCE_PORT]: through that forwarder of node I's.
ask() {
    local i=$1 name=$2
    shift 2
    client "$i" "$(place_of "$name")" "$@"
}

fixtures=$here/../fixtures
python=$(realpath /usr/bin/python3)
"$fixtures/make_bundle.sh" "$WORK/lobby.tar.zst" "$fixtures/services/lobby.yaml" \
    "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$fixtures/names.py=/srv/names.py"
check "a manifest may have UDP ports for members" minga 1 push "$WORK/lobby.tar.zst"
check "it is started on all four" minga 1 start lobby --replicas 4 --wait=120s
within 20 "each node runs one" has_running 1 lobby 4
for i in 1 4; do within 20 "node $i locates all four" located "$i" lobby voice; done
places() { minga 1 --json locate lobby --port voice | jq -r '.locations[] | "\(.address):\(.port)"'; }
check "JSON names protocol and visibility" eval 'minga 1 --json locate lobby --port voice |
    jq -e "all(.locations[]; .visibility == \"members\" and .protocol == \"udp\")"'

# --- who is none
greeting() { # something like one, of 300 bytes, to the door: prints what it answers
    in_node user bash -c 'exec 7<>"/dev/tcp/${1%:*}/${1##*:}" &&
        { printf MINGARL1; head -c 300 /dev/urandom; } >&7 && timeout 8 head -c 1 <&7 | wc -c' - "$1"
}
strangers() {
    local at
    for at in $(places); do
        client user "$at" hello && return 1
        [ "$(greeting "$at" || true)" != 1 ] || return 1 # where the door is, by TCP
    done
}
check "a stranger's datagrams and bytes reach nothing, at no replica, not at a leaf's relay either" strangers
own_door() { places | sed -n 's/^10\.77\.0\.1:/127.0.0.1:/p'; }
check "nor do they on the replica's own machine" eval '! client 1 "$(own_door)" hello'

# --- who is one
forward 1 first lobby voice
check "a member's forwarder says where it listens" grep -qE '^127\.0\.0\.1:[0-9]+$' "$WORK/first"
within 5 "and a datagram is answered" eval 'ask 1 first hello | grep -q "^hello from"'
first=$(ask 1 first one 4001) second=$(ask 1 first two 4002) again=$(ask 1 first three 4001)
check "each client is a peer of its own ($first, $second)" [ "${first##* }" != "${second##* }" ]
check "and stays the same one ($again)" [ "${first##* }" = "${again##* }" ]
check "an empty datagram is one, too" eval 'ask 1 first "" | grep -q "^ from"'
check "one of 16,000 bytes passes both ways" [ "$(ask 1 first x16000)" -gt 16000 ]
check "one that is too long is lost" eval '! ask 1 first x16377'
check "and nothing else is" eval 'ask 1 first hello'
many() { # N clients at once
    local i
    for ((i = 0; i < $1; i++)); do PATIENCE_S=20 ask 1 first "many $i" & done
}
check "twenty clients at once are answered" [ "$(many 20 2>/dev/null | grep -c '^many .* from')" = 20 ]
within 20 "which is counted against the volunteer's line as of any port" counted 16000
flows() { minga 1 --json status lobby | jq '[.services[0].replicas[].connections // 0] | add'; }
within 20 "flows are counted as connections are" eval '[ "$(flows)" -ge 1 ]'
for i in 1 4; do
    for k in 1 2 3 4; do
        forward "$i" "at-$i-$k" "lobby/$k" voice
        within 5 "node $i reaches replica $k" eval "ask $i at-$i-$k who | grep -qx lobby-$k"
        kill -TERM "$FORWARDER"
    done
done
check "its port of the same number for TCP is another one" eval \
    'connect 1 lobby chat --stdio </dev/null | grep -qx kept'

# --- wrong words
refused 2 "several ports: voice (udp), chat" "which port has to be said" connect 1 lobby
refused 2 "one of UDP" "stdin has no borders" connect 1 lobby voice --stdio
refused 1 "in use" "a port in use" connect 1 lobby voice --listen "$(place_of first)"
forward 1 in-json lobby voice --json
check "JSON names the protocol of what it listens for" \
    jq -e '.protocol == "udp" and .visibility == "members"' "$WORK/in-json"
kill -TERM "$FORWARDER"

# --- the replica of an open flow pauses, or dies
node_at() { # NAME of a replica
    number_of_name "$(minga 1 --json status lobby | jq -r --arg id "lobby/${1#lobby-}" '.services[0].replicas[] | select(.id == $id) | .node_name')"
}
# A forwarder of node 1's that has not chosen that node's own replica: $moving, $served, $at.
try=0
flow_elsewhere() {
    try=$((try + 1))
    moving=moving-$try
    forward 1 "$moving" lobby voice
    wait_until 60 replica
    served=$(replica)
    at=$(node_at "$served")
    [ "$at" != 1 ]
}
replica() { ask 1 "$moving" who 4011 | grep -x 'lobby-[0-9]'; }
moved() { local now; now=$(replica) && [ "$now" != "$served" ]; }
until flow_elsewhere || [ "$try" = 30 ]; do :; done
check "a flow stays with one replica ($served, of node $at)" [ "$(replica)" = "$served" ]
minga "$at" node pause --now >/dev/null
within 10 "when its node is paused the next datagrams reach another one" moved
minga "$at" node resume >/dev/null
within 60 "four run again" has_running 1 lobby 4
until flow_elsewhere || [ "$try" = 60 ]; do :; done
node_kill "$at"
within 20 "when it dies, too" moved
node_start "$at"
within 60 "the community has four again" has_running 1 lobby 4
until flow_elsewhere && [ "$at" != 4 ] || [ "$try" = 90 ]; do :; done # at home it is the router's
cable_cut "$at"
within 20 "when its network is gone, too" moved
cable_back "$at"
within 60 "four run once more" has_running 1 lobby 4

# --- mingad is replaced, its replicas live on
two=$(replica_at 2 lobby)
forward 1 second "lobby/$two" voice
within 10 "the second node's replica answers" eval 'ask 1 second who 4003 | grep -qx "lobby-$two"'
agent_kill 2
node_start 2
within 20 "and goes on when mingad there was replaced" eval 'ask 1 second who 4003 | grep -qx "lobby-$two"'

# --- expelled
victim=$(node_id 3)
forward 3 last "lobby/$two" voice
nsenter --net="/run/netns/$(ns_of 3)" /usr/bin/python3 "$here/../fixtures/udp_client.py" \
    "$(place_of last)" ping "$WORK/answered" &
FORWARDERS+=($!) # of the client itself: a function's would be that of a shell around it
within 10 "before it is expelled a member is answered" test -s "$WORK/answered"
minga 1 expel --yes "$victim" >/dev/null
expelled=$(now_ms)
silent() { [ $(($(now_ms) - $(cat "$WORK/answered"))) -gt 3000 ]; }
within 10 "who is expelled is cut" silent
echo "# the last answer came $(($(cat "$WORK/answered") - expelled)) ms after the word"
check "and gets in no more" eval '! ask 3 last hello'

# --- the end
check "Ctrl-C ends a forwarder cleanly" is_interrupted "${FORWARDERS[0]}"
check "and with it what it had open" eval '! ask 1 first hello'
