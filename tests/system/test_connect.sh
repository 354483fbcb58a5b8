#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Ports for members only, and `minga connect`: members get in, from the Internet and from a home
# behind a router, to replicas there and at homes; nobody else does, nor does who is expelled; and
# the way follows the replicas when they die.
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

forwarders_new

# which_replica I PLACE: the replica that answers there, "club-2".
which_replica() { in_node "$1" curl -sf --max-time 10 "http://$2/cgi-bin/replica"; }

"$here/../fixtures/make_web.sh" "$WORK/web.tar" 2048
mkdir "$WORK/club"
tar -C "$WORK/club" -xf "$WORK/web.tar"
cat >"$WORK/club/service.yaml" <<'YAML'
name: club
command: [/bin/busybox, sh, -c, "busybox httpd -p 8081 -h /www; exec busybox httpd -f -p 8080 -h /www"]
resources: {cpu: 0.1, memory: 32M, disk: 16M, pids: 32}
ports:
  - {name: http, container: 8080, visibility: members}
  - {name: open, container: 8081}
health: {port: http, http: /}
YAML
refused 4 "no such service" "of a service that is not there it says so" connect 1 nothing
check "a manifest may have ports for members" minga 1 push "$WORK/club"
refused 5 "off" "of one that is off, too" connect 1 club
check "it is started on all four" minga 1 start club --replicas 4 --wait=60s
within 20 "each node runs one" has_running 1 club 4
for i in 1 4; do within 20 "node $i locates all four" located "$i" club http; done
place=$(minga 1 --json locate club --port http | jq -r '.locations[0] | "\(.address):\(.port)"')

# --- what is said of it
check "locate says which ports are for members only" eval 'minga 1 locate club | grep -q "members only"'
check "in JSON, too" eval 'minga 1 --json locate club --port http | jq -e "all(.locations[]; .visibility == \"members\")"'
check "and that the other port is not" eval 'minga 1 --json locate club --port open | jq -e "all(.locations[]; .visibility == \"public\")"'
check "status says so" eval 'minga 1 status club | grep -q "members"'

# --- who is none
check "a stranger gets nothing" eval '! in_node user curl -s --max-time 8 "http://$place/"'
strangers() {
    local at count=0
    for at in $(minga 1 --json locate club --port http | jq -r '.locations[] | "\(.address):\(.port)"'); do
        [ -n "$(in_node user curl -s --max-time 8 "http://$at/" || true)" ] || count=$((count + 1))
    done
    [ "$count" = 4 ]
}
check "at no replica, not at a leaf's relay either" strangers
check "nor on the replica's own machine without the command" eval '! in_node 1 curl -s --max-time 8 "http://$(minga 1 --json locate club --port http | jq -r ".locations[] | select(.address == \"10.77.0.1\") | \"127.0.0.1:\(.port)\"")/"'
check "nor around mingad, by its socket" eval '! setpriv --reuid 4242 --regid 4242 --clear-groups ls "$(dir_of 1)/state/agent/doors"'

# --- who is one
forward 1 first club http
check "a member's forwarder says where it listens" grep -qE '^127\.0\.0\.1:[0-9]+$' "$WORK/first"
check "and leads to a replica" which_replica 1 "$(place_of first)"
same_data() { in_node 1 curl -sf --max-time 60 "http://$(place_of first)/data" | cmp - "$WORK/club/www/data"; }
check "two megabytes come whole" same_data
within 20 "which is counted against the volunteer's line as of any port" counted 2097152
# asks I REPLICA PORT: by stdin and stdout.
asks() { printf 'GET /cgi-bin/replica HTTP/1.0\r\n\r\n' | connect "$1" "club/$2" "$3" --stdio | grep -q "club-$2"; }
for i in 1 4; do
    for k in 1 2 3 4; do
        check "node $i reaches replica $k at its port for members" asks "$i" "$k" http
    done
    check "and a public one the same way" asks "$i" 1 open
done
check "many at once are served" eval '
    for k in $(seq 20); do in_node 1 curl -sf --max-time 30 -o /dev/null "http://$(place_of first)/" & ids[k]=$!; done
    for k in $(seq 20); do wait "${ids[k]}" || exit 1; done'

# --- wrong words
refused 4 "ports: http, open" "a port that is not there" connect 1 club nothing
refused 4 "no such replica. The service has 4: 1 to 4" "a replica that is not there" connect 1 club/9 http
refused 2 "several ports" "which port has to be said" connect 1 club
refused 1 "in use" "a port in use" connect 1 club http --listen "$(place_of first)"
refused 2 "not with --listen" "two ways at once" connect 1 club http --stdio --listen 8080
refused 2 "not a place" "nonsense to listen at" connect 1 club http --listen nonsense:x
refused 3 "" "without an agent" env MINGA_SOCKET="$WORK/nothing" "$BIN/minga" connect club http

# --- the replica under an open forwarder dies
served=$(which_replica 1 "$(place_of first)" | grep -o 'club-[0-9]')
node=$(minga 1 --json status club | jq -r --arg id "club/${served#club-}" '.services[0].replicas[] | select(.id == $id) | .node_name')
at=$(number_of_name "$node")
check "it stays with one replica" eval 'which_replica 1 "$(place_of first)" | grep -q "$served"'
if [ "$at" = 1 ]; then # the forwarder's own node must stay
    kill_pids KILL "$(pids_in_cgroup 1 | tail -n 1)"
else
    node_kill "$at"
fi
elsewhere() { which_replica 1 "$(place_of first)" | grep 'club-[0-9]'; }
within 20 "the next connection lands on one that runs" elsewhere
[ "$at" = 1 ] || node_start "$at"
within 60 "the community has four again" has_running 1 club 4

# --- mingad is replaced, its replicas live on
agent_kill 2
node_start 2
two=$(replica_at 2 club)
within 20 "after mingad was replaced its replica's port is served again" asks 1 "$two" http

# --- expelled
victim=$(node_id 3)
forward 3 last "club/$two" http
held() { exec 7<>"/dev/tcp/127.0.0.1/${1##*:}" && cat <&7 >/dev/null; }
export -f held
in_node 3 bash -c 'held "$1"' - "$(place_of last)" &
HELD=$!
FORWARDERS+=("$HELD")
check "before it is expelled a member gets in" which_replica 3 "$(place_of last)"
check "and holds a connection" kill -0 "$HELD"
minga 1 expel --yes "$victim" >/dev/null
within 10 "who is expelled is hung up on" is_gone "$HELD"
check "and gets in no more" eval '! which_replica 3 "$(place_of last)"'

# --- the end
LAST=$FORWARDER
check "Ctrl-C ends a forwarder cleanly" is_interrupted "${FORWARDERS[0]}"
check "and with it what it had open" eval '! in_node 1 curl -s --max-time 2 "http://$(place_of first)/"'
kill -TERM "$LAST"
