#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# minga-sandboxd alone is killed, its agent stays. Started again (systemd does that) it adopts what
# lives. Where nobody starts it the node's replicas move and end; the agent has given root up and
# cannot start it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 3
community_start
"$here/../fixtures/make_web.sh" "$WORK/web.tar"
minga 1 push "$WORK/web.tar" >/dev/null
minga 1 scale web 2 >/dev/null
minga 1 start web --wait=20s >/dev/null || fail "start"
within 5 "two replicas answer" all_answer 1 web 2

victim=$(number_of_name "$(nodes_of 1 web | grep -vx "$(name_of 1)" | head -n 1)")
replica_pids() { pids_in_cgroup "$victim" | tr '\n' ' '; }
runs_on_victim() { nodes_of 1 web | grep -cx "$(name_of "$victim")"; }
state_of_victim() { [ "$(minga "$victim" --json node | jq -r .state)" = "$1" ]; }
kill_helper() {
    # shellcheck disable=SC2046
    kill_pids KILL $(helper_pids "$victim")
    wait_until 5 is_empty helper_pids "$victim"
}

# --- killed, and started again as systemd does it
before=$(replica_pids)
place=$(minga 1 --json locate web | jq -r --arg node "$(minga "$victim" --json node | jq -r .node)" '.locations[] | select(.node == $node) | "\(.address):\(.port)"')
mapfile -d '' -t helper <"/proc/$(helper_pids "$victim" | head -n 1)/cmdline"
kill_helper
within 5 "without its helper the node says so" state_of_victim "no sandbox"
check "and its log does" grep -q "sandbox helper" "$(dir_of "$victim")/log"
check "its replica answers still" answers "$place"
in_node "$victim" "${helper[@]}" >>"$(dir_of "$victim")/log" 2>&1 </dev/null &
helper_job=$!
within 10 "with a new helper the node is ready" state_of_victim ready
within 10 "two replicas run" has_running 1 web 2
check "the replica kept its processes" [ "$before" = "$(replica_pids)" ]
check "on that node" runs_on_victim
check "and answers" all_answer 1 web 2
check "and commands run inside, as in one that was not adopted" eval 'minga 1 exec web -- busybox true </dev/null'

# --- killed, and not started again
kill_helper
wait "$helper_job" 2>/dev/null || true
moved() { has_running 1 web 2 && ! runs_on_victim && all_answer 1 web 2; }
within 40 "its replica runs elsewhere" moved
within 75 "what it had started ends by itself" is_empty pids_in_cgroup "$victim"
check "two replicas answer meanwhile" all_answer 1 web 2
check "history names it" eval 'minga 1 --json status web | jq -e --arg node "$(name_of "$victim")" ".services[0].history[] | select(.node_name == \$node and .reason != \"\")"'
minga 1 scale web 3 >/dev/null
within 5 "the node takes nothing more" eval 'minga 1 --json status web | jq -e ".services[0] | .state == \"degraded\" and .running == 2"'
node_stop "$victim"
node_start "$victim"
within 30 "its agent started again: three run" has_running 1 web 3

minga 1 stop web --wait=20s >/dev/null || fail "stop"
for i in 1 2 3; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
