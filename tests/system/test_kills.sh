#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# SIGKILL at random moments: all agents with their replicas; mingad alone, its helper alone,
# minga-init alone. Whatever was killed, three replicas run again without a command and nothing
# leaks. ROUNDS and SINGLE_ROUNDS say how often; SEED repeats a run.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
rounds=${ROUNDS:-4}
single_rounds=${SINGLE_ROUNDS:-6}
RANDOM=${SEED:-$$}
echo "# SEED=${SEED:-$$}"

pause_ms() { sleep "$(printf '0.%03d' $((RANDOM % $1)))"; }
community_new 5
zones=(attic attic cellar cellar shed)
for i in 1 2 3 4 5; do
    echo "zone: ${zones[$((i - 1))]}" >>"$(dir_of "$i")/minga.yaml"
    node_start "$i"
done
community_form
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
minga 1 push "$WORK/web.tar.zst" >/dev/null
minga 1 start web --wait=20s >/dev/null

zones_used() {
    local name
    for name in $(nodes_of "$1" web); do echo "${zones[$(($(number_of_name "$name") - 1))]}"; done | sort -u | wc -l
}
check "three replicas are spread over three zones" eval '[ "$(zones_used 1)" = 3 ]'

# What one node holds beyond its replicas: groups, loop devices, images, logs, records.
inventory() { # of all nodes: groups, network namespaces of inits, loop devices, files of replicas
    local i groups=0 files=0 loops
    for ((i = 1; i <= NODE_COUNT; i++)); do
        groups=$((groups + $(find /sys/fs/cgroup/memory -maxdepth 6 -type d -path "*/$(cgroup_of "$i")/*-*-*" 2>/dev/null | grep -cvE '/(init|service)[^/]*$' || true)))
        files=$((files + $(find "$(dir_of "$i")/state/sandbox" "$(dir_of "$i")/run/sandbox" -type f \( -name '*-*-*' -o -name '*.img*' \) 2>/dev/null | wc -l)))
    done
    loops=$(losetup -a | grep -cF "$WORK" || true)
    echo "groups $groups files $files loops $loops"
}
processes() {
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do pids_in_cgroup "$i"; done | wc -l
}
three_again() { has_running 1 web 3 && all_answer 1 web 3 && [ "$(busy_nodes)" = 3 ]; }
busy_nodes() {
    local i count=0
    for ((i = 1; i <= NODE_COUNT; i++)); do [ -z "$(pids_in_cgroup "$i")" ] || count=$((count + 1)); done
    echo "$count"
}
within 10 "three run and answer" three_again
settled=$(inventory)
settled_processes=$(processes)
echo "# settled: $settled processes $settled_processes"
same_as_before() { [ "$(inventory)" = "$settled" ] && [ "$(processes)" = "$settled_processes" ]; }

for ((round = 1; round <= rounds; round++)); do
    pause_ms 900
    for i in 1 2 3 4 5; do
        node_kill "$i"
        [ $((RANDOM % 2)) = 0 ] || pause_ms 100
    done
    pause_ms 300
    for i in 1 2 3 4 5; do node_launch "$i"; done
    if wait_until 60 three_again; then
        pass "round $round: all killed and started again, three answer"
    else
        fail "round $round: all killed and started again, three answer: $(minga 1 status web 2>&1)"
    fi
    # Some rounds kill again in the middle of a start.
    if [ $((RANDOM % 3)) = 0 ]; then continue; fi
    wait_until 30 same_as_before || fail "round $round leaks: $(inventory) processes $(processes)"
done
within 20 "three run after all rounds" three_again
within 10 "nothing has leaked" same_as_before

kinds=(agent helper init)
for ((round = 1; round <= single_rounds; round++)); do
    victim=$((RANDOM % 5 + 1))
    kind=${kinds[$((RANDOM % 3))]}
    pause_ms 900
    case $kind in
    agent) agent_kill "$victim"; pause_ms 900; node_launch "$victim" ;;
    helper)
        # shellcheck disable=SC2046
        kill_pids KILL $(helper_pids "$victim")
        agent_kill "$victim"
        pause_ms 500
        node_launch "$victim"
        ;;
    init)
        for pid in $(pids_in_cgroup "$victim"); do
            if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q minga-init; then kill -KILL "$pid" || true; fi
        done
        ;;
    esac
    if wait_until 60 three_again; then
        pass "single $round: only $kind of node $victim killed, three answer"
    else
        fail "single $round: only $kind of node $victim killed: $(minga 1 status web 2>&1; inventory)"
    fi
done
within 15 "nothing has leaked after single kills" same_as_before

# The helper alone, its agent stays: run comes back when the helper is started again.
minga 1 stop web --wait=20s >/dev/null || fail "stop"
for i in 1 2 3 4 5; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
