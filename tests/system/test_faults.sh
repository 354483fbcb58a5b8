#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Cables, restarts of single agents and of all, orderly stops, pause and drain.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 5
community_start
"$here/../fixtures/make_web.sh" "$WORK/web.tar.gz"
minga 1 push "$WORK/web.tar.gz" >/dev/null
minga 1 start web --wait=20s
within 5 "three replicas answer" all_answer 1 web 3

runs_on() { nodes_of "$1" web | grep -cx "$(name_of "$2")"; }
processes_on() { pids_in_cgroup "$1"; }
exactly_three_processes() {
    local i count=0
    for ((i = 1; i <= NODE_COUNT; i++)); do
        [ -z "$(pids_in_cgroup "$i")" ] || count=$((count + 1))
    done
    [ "$count" = 3 ]
}

# --- the cable
victim=$(number_of_name "$(nodes_of 1 web | grep -vx "$(name_of 1)" | head -n 1)")
cable_cut "$victim"
moved() { has_running 1 web 3 && ! runs_on 1 "$victim" && all_answer 1 web 3; }
within 8 "a node's cable is cut: three elsewhere" moved
within 20 "the node that is cut off ends its own copy" is_empty processes_on "$victim"
cable_back "$victim"
within 15 "cable back: all five see each other" sees_members "$victim" 5
within 15 "cable back: exactly three run" exactly_three_processes
stays 3 "and it stays at three" exactly_three_processes

# --- mingad alone killed and started again: adopted, same processes
victim=$(number_of_name "$(nodes_of 1 web | grep -vx "$(name_of 1)" | head -n 1)")
before=$(pids_in_cgroup "$victim" | tr '\n' ' ')
agent_kill "$victim"
sleep 1
node_start "$victim"
within 10 "a restarted agent is a member again" sees_members 1 5
within 10 "three run" has_running 1 web 3
after=$(pids_in_cgroup "$victim" | tr '\n' ' ')
if [ -n "$before" ] && [ "$before" = "$after" ]; then pass "its replicas kept their pids"; else fail "its replicas kept their pids ($before -> $after)"; fi
check "they are run by that node still" runs_on 1 "$victim"

# --- SIGTERM: handed over
victim=$(number_of_name "$(nodes_of 1 web | grep -vx "$(name_of 1)" | head -n 1)")
asker=1
started=$(now_ms)
node_stop "$victim"
took=$(($(now_ms) - started))
if [ "$took" -le 15000 ]; then pass "an orderly stop took $took ms"; else fail "an orderly stop took $took ms"; fi
within 3 "its replica was handed over" eval 'has_running '$asker' web 3 && all_answer '$asker' web 3'
check "and ended there" is_empty processes_on "$victim"
node_start "$victim"
within 10 "membership was kept" sees_members "$asker" 5

# --- pause, resume, drain
within 10 "three run" has_running 1 web 3
victim=$(number_of_name "$(nodes_of 1 web | head -n 1)")
asker=$([ "$victim" = 1 ] && echo 2 || echo 1)
cpu_frozen() { [ "$(minga "$victim" --json node | jq -r .state)" = paused ]; }
minga "$victim" node pause
within 2 "a paused node says so" cpu_frozen
within 10 "its replica is elsewhere" eval 'has_running '"$asker"' web 3 && ! runs_on '"$asker $victim"
minga "$victim" node resume
within 10 "resumed: exactly three" exactly_three_processes
victim=$(number_of_name "$(nodes_of "$asker" web | grep -vx "$(name_of "$asker")" | head -n 1)")
minga "$victim" node drain
within 15 "a drained node runs nothing, three run elsewhere" eval 'is_empty processes_on '"$victim"' && has_running '"$asker"' web 3'
minga "$victim" node resume

# --- agents killed and not started again: the helper ends everything
victim=$(number_of_name "$(nodes_of "$asker" web | grep -vx "$(name_of "$asker")" | head -n 1)")
other=$(number_of_name "$(nodes_of "$asker" web | grep -vx "$(name_of "$asker")" | tail -n 1)")
# shellcheck disable=SC2046
kill_pids KILL "${AGENT_PID[$other]}" $(helper_pids "$other") # the replicas live on
unset "AGENT_PID[$other]"
agent_kill "$victim"
within 40 "without its agent a helper ends the replicas" is_empty processes_on "$victim"
within 5 "and ends itself" is_empty helper_pids "$victim"
within 40 "without agent and helper a replica ends itself" is_empty processes_on "$other"
node_start "$victim"
node_start "$other"
within 10 "the node is back" sees_members "$asker" 5

# --- everything killed, in the middle of building trees, everything started again
for i in 1 2 3 4 5; do node_kill "$i"; done
trees() { find "$WORK" -mindepth 5 -maxdepth 5 -type d -path "*/state/agent/trees/*" "$@"; }
for tree in $(trees ! -name '*.new'); do mv "$tree" "$tree.new"; done
for i in 1 2 3 4 5; do node_launch "$i"; done
within 15 "all killed and started again: three replicas answer without a command" eval 'has_running 1 web 3 && all_answer 1 web 3'
halves_beside() { for tree in $(trees ! -name '*.new'); do [ ! -e "$tree.new" ] || echo "$tree.new"; done; }
check "from trees that were built anew, of whose halves nothing is left" eval '[ "$(trees ! -name "*.new" | wc -l)" -ge 3 ] && is_empty halves_beside'
within 10 "all know each other" eval 'sees_members 1 5 && sees_members 5 5'

# --- both sides of a split serve, and merge; every node has the bundle before
minga 1 scale web 5 --wait=20s >/dev/null || fail "scale to five"
minga 1 scale web 3 --wait=20s >/dev/null || fail "scale to three"
split 4 5
within 10 "a split: three nodes here see three, two there see two" eval 'sees_members 1 3 && sees_members 4 2'
within 15 "the side with three nodes runs three" has_running 1 web 3
within 15 "the side with two nodes runs two" has_running 4 web 2
within 10 "and says why not three" eval 'minga 5 --json status web | jq -e ".services[0] | .state == \"degraded\" and .reason != \"\""'
split_heal 4 5
within 15 "healed: everyone sees five" eval 'sees_members 1 5 && sees_members 4 5 && sees_members 5 5'
within 15 "healed: one community, three replicas" eval 'exactly_three_processes && has_running 1 web 3 && has_running 4 web 3'
stays 3 "and it stays at three" exactly_three_processes

# --- one node after the other is cut off: each alone, so they end theirs
for i in 4 5; do cable_cut "$i"; done
within 20 "the side with three members has three replicas" eval 'has_running 1 web 3 && all_answer 1 web 3'
for i in 4 5; do cable_back "$i"; done
within 15 "healed: all see five" eval 'sees_members 1 5 && sees_members 4 5 && sees_members 5 5'
within 15 "healed: exactly three run" exactly_three_processes

minga 1 stop web --wait=20s
for i in 1 2 3 4 5; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
