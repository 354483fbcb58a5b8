#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The main job: five agents keep a web server at three replicas while processes, a node, the
# manager and both are killed.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 5
community_start
pass "five nodes are one community"

ring_is_whole() { # every node names the next one in the order of positions
    for i in 1 2 3 4 5; do minga "$i" --json ring | jq -c '[.positions[0], .successors[0]]'; done |
        jq -se 'length == 5 and (map(.[1]) | unique | length == 5)'
}
within 5 "every node has another successor" ring_is_whole
check "lookup gives the same responsible node from all five" bash -c '
    for i in 1 2 3 4 5; do '"MINGA_SOCKET=$WORK/n\$i/run/agent.sock $BIN/minga"' --json lookup 0000000000000000000000000000000000000000000000000000000000000005 | jq -r .responsible; done | sort | uniq -c | grep -c "^ *5 "'

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst" 1024
minga 2 push "$WORK/web.tar.zst" >/dev/null
check "a registered service runs nothing" has_running 3 web 0
minga 2 start web
within 5 "three replicas answer" all_answer 2 web 3
check "the three are on three nodes" eval '[ "$(nodes_of 4 web | sort -u | wc -l)" = 3 ]'
for i in 1 2 3 4 5; do check "node $i locates three" eval '[ "$(minga '"$i"' locate web | wc -l)" = 3 ]'; done

# --- a replica's process
node=$(number_of_name "$(nodes_of 1 web | head -n 1)")
service_pid() { # the service's own process: the one that runs busybox
    local pid
    for pid in $(pids_in_cgroup "$1"); do
        [ "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" = "" ] ||
            case $(tr '\0' ' ' <"/proc/$pid/cmdline") in /bin/busybox*) echo "$pid" ;; esac
    done
}
restarts() { minga 1 --json status web | jq '[.services[0].replicas[].restarts] | add'; }
kill -KILL "$(service_pid "$node" | head -n 1)"
within 5 "the killed process runs again" eval '[ "$(restarts)" -ge 1 ] && all_answer 1 web 3'

# --- a node with a replica, then the manager's node, then both at once
healed() { # healed ASKER DEAD_NAME...
    local asker=$1 dead
    shift
    for dead in "$@"; do ! nodes_of "$asker" web | grep -cx "$dead" || return 1; done
    has_running "$asker" web 3 && all_answer "$asker" web 3
}
other_than() { # a node number not among the names given
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do
        [[ " $* " == *" $(name_of "$i") "* ]] || { echo "$i"; return; }
    done
}
manager=$(manager_of 1 web)
victim=$(nodes_of 1 web | grep -vx "$manager" | head -n 1)
asker=$(other_than "$victim" "$manager")
node_kill "$(number_of_name "$victim")"
within 10 "a killed node's replica is elsewhere" healed "$asker" "$victim"
in_history() { # ASKER NODE_NAME STATE: how many replicas have ended so
    minga "$1" --json status web | jq --arg node "$2" --arg state "$3" \
        '[.services[0].history[] | select(.node_name == $node and .state == $state and .reason != "" and .since and (.id | startswith("web/")) and .incarnation >= 1 and (.restarts != null))] | length'
}
check "history names the lost replica with its node" eval '[ "$(in_history "$asker" "$victim" failed)" = 1 ]'
check "and why" eval 'minga "$asker" --json status web | jq -e ".services[0].history[0].reason == \"its node is down\""'
node_start "$(number_of_name "$victim")"
within 5 "the killed node is a member again" sees_members "$asker" 5

manager=$(manager_of "$asker" web)
asker=$(other_than "$manager")
node_kill "$(number_of_name "$manager")"
within 10 "the manager's node killed: three again" healed "$asker" "$manager"
node_start "$(number_of_name "$manager")"
within 5 "the old manager's node is a member again" sees_members "$asker" 5
within 5 "and there are three, not more" has_running "$asker" web 3

manager=$(manager_of "$asker" web)
victim=$(nodes_of "$asker" web | grep -vx "$manager" | head -n 1)
asker=$(other_than "$manager" "$victim")
node_kill "$(number_of_name "$manager")"
node_kill "$(number_of_name "$victim")"
within 10 "manager and a replica's node killed at once: three again" healed "$asker" "$manager" "$victim"
node_start "$(number_of_name "$manager")"
node_start "$(number_of_name "$victim")"
within 5 "all five are back" sees_members "$asker" 5

# --- scale, stop, remove
minga 1 scale web 5 --wait=20s || fail "scale to 5"
within 5 "scaled to five" all_answer 2 web 5
minga 1 scale web 2
within 5 "scaled to two" has_running 2 web 2
minga 3 stop web --wait=20s || fail "stop --wait"
within 5 "stopped: no replica is left" eval '[ "$(minga 1 --json status web | jq "[.services[0].replicas[] | select(.state == \"running\")] | length")" = 0 ]'
stopped_in_history() { minga 1 --json status web | jq -e '[.services[0].history[] | select(.state == "ended" and .reason == "stopped by its manager")] | length >= 2'; }
check "history names what was stopped" stopped_in_history
processes_of_services() { for i in 1 2 3 4 5; do pids_in_cgroup "$i"; done; }
within 5 "no process of it is left" is_empty processes_of_services
minga 4 rm web
within 5 "removed: unknown everywhere" eval '! minga 5 status web'
refused 4 web "status of a removed service ends with 4" minga 2 status web
for i in 1 2 3 4 5; do node_stop "$i"; done
within 5 "after all stopped nothing is left" is_empty leftovers
