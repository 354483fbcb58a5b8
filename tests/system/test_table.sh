#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The times that the first version is judged by, ROUNDS times: starting, a process, a node, the
# manager's node, both at once, a cable, everything at once; in zones.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
rounds=${ROUNDS:-1}

community_new 5
zones=(attic attic cellar cellar shed)
for i in 1 2 3 4 5; do echo "zone: ${zones[$((i - 1))]}" >>"$(dir_of "$i")/minga.yaml"; done
started=$(now_ms)
for i in 1 2 3 4 5; do node_launch "$i"; done
for i in 1 2 3 4 5; do wait_until 10 minga "$i" node || true; done
community_form
took=$(($(now_ms) - started))
if [ "$took" -le 5000 ]; then pass "five nodes in one ring after $took ms"; else fail "five nodes in one ring after $took ms"; fi
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst" 1024
minga 2 push "$WORK/web.tar.zst" >/dev/null 2>&1

runs_on() { nodes_of "$1" web | grep -qx "$(name_of "$2")"; }
busy_nodes() {
    local i count=0
    for i in 1 2 3 4 5; do [ -z "$(pids_in_cgroup "$i")" ] || count=$((count + 1)); done
    echo "$count"
}
answered() { has_running "$1" web 3 && all_answer "$1" web 3; }
exactly_three() { [ "$(busy_nodes)" = 3 ] && answered 1; }
elsewhere() { # ASKER VICTIM...
    local asker=$1 victim
    shift
    answered "$asker" || return 1
    for victim in "$@"; do ! runs_on "$asker" "$victim" || return 1; done
}
service_pid() { # of a replica's own process on a node
    local pid
    for pid in $(pids_in_cgroup "$1"); do
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q httpd && { echo "$pid"; return; }
    done
}
number_running() { number_of_name "$(nodes_of 1 web | sed -n "${1}p")"; }
a_third() { # a node that is none of these
    local i j taken
    for i in 1 2 3 4 5; do
        taken=no
        for j in "$@"; do [ "$i" != "$j" ] || taken=yes; done
        [ "$taken" = yes ] || { echo "$i"; return; }
    done
}
all_back() {
    local i
    for i in 1 2 3 4 5; do [ -n "${AGENT_PID[$i]:-}" ] || node_launch "$i"; done
    wait_until 20 sees_members 1 5 && wait_until 20 sees_members 5 5 && wait_until 20 exactly_three
}

for ((round = 1; round <= rounds; round++)); do
    minga 1 start web >/dev/null
    within 2 "$round: start to three answering" answered 3
    pid=$(service_pid "$(number_running 1)")
    kill -KILL "$pid"
    within 1 "$round: a process killed to 3/3" eval 'is_gone '"$pid"' && has_running 1 web 3'
    within 5 "$round: and three answer" answered 1

    manager=$(number_of_name "$(manager_of 1 web)")
    victim=
    for n in 1 2 3; do
        i=$(number_running $n)
        [ "$i" = "$manager" ] || victim=$i
    done
    asker=$(a_third "$manager" "$victim")
    node_kill "$victim"
    within 5 "$round: a node with a replica killed to 3/3 elsewhere" elsewhere "$asker" "$victim"
    all_back || fail "$round: the node came back"

    manager=$(number_of_name "$(manager_of 2 web)")
    asker=$(a_third "$manager")
    node_kill "$manager"
    within 8 "$round: the manager's node killed to 3/3 elsewhere" elsewhere "$asker" "$manager"
    all_back || fail "$round: the manager's node came back"

    manager=$(number_of_name "$(manager_of 1 web)")
    for n in 1 2 3; do
        i=$(number_running $n)
        [ "$i" = "$manager" ] || victim=$i
    done
    asker=$(a_third "$manager" "$victim")
    node_kill "$victim"
    node_kill "$manager"
    within 10 "$round: both at once to 3/3 elsewhere" elsewhere "$asker" "$victim" "$manager"
    all_back || fail "$round: both came back"

    victim=$(number_running 2)
    [ "$victim" != 1 ] || victim=$(number_running 3)
    cable_cut "$victim"
    within 8 "$round: cable cut: 3/3 elsewhere" elsewhere 1 "$victim"
    nothing_runs_there() { [ -z "$(pids_in_cgroup "$victim")" ]; }
    within 20 "$round: its own copy ended" nothing_runs_there
    cable_back "$victim"
    within 15 "$round: cable back: exactly three" eval 'sees_members '"$victim"' 5 && exactly_three'
    stays 2 "$round: and it stays so" eval '[ "$(busy_nodes)" = 3 ]'

    for i in 1 2 3 4 5; do node_kill "$i"; done
    for i in 1 2 3 4 5; do node_launch "$i"; done
    within 15 "$round: all killed and started again: 3/3" answered 1
    wait_until 15 exactly_three || fail "$round: exactly three after all"
    minga 1 stop web --wait=20s >/dev/null || fail "$round: stop"
done
for i in 1 2 3 4 5; do node_stop "$i"; done
within 10 "nothing is left behind" is_empty leftovers
