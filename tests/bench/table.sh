#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# table.sh: one community, one round of all that is timed: starting, a process, a node, the
# manager's node, both at once, a cable, everything at once; in zones. Prints `NAME VALUE` lines.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/../system/community.sh"

# measure NAME SECONDS COMMAND...: prints the ms until the command holds, or `never`.
measure() {
    local name=$1 seconds=$2 started
    shift 2
    started=$(now_ms)
    if wait_until "$seconds" "$@"; then echo "$name $(($(now_ms) - started))"; else echo "$name never"; fi
}
private_kib() { awk '/^Private_(Clean|Dirty)/ {sum += $2} END {print sum}' "/proc/${AGENT_PID[$1]}/smaps_rollup"; }
cpu_ticks() { awk '{print $14 + $15}' "/proc/${AGENT_PID[$1]}/stat"; }

community_new 5
zones=(attic attic cellar cellar shed)
for i in 1 2 3 4 5; do echo "zone: ${zones[$((i - 1))]}" >>"$(dir_of "$i")/minga.yaml"; done
started=$(now_ms)
for i in 1 2 3 4 5; do node_launch "$i"; done
for i in 1 2 3 4 5; do wait_until 10 minga "$i" node || true; done
community_form
echo "ring_ms $(($(now_ms) - started))"

sleep 10
before=$(cpu_ticks 2)
sleep 20
echo "idle_cpu_permille $((($(cpu_ticks 2) - before) * 1000 / (20 * $(getconf CLK_TCK))))"
echo "idle_private_kib $(private_kib 2)"

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst" 1024
started=$(now_ms)
minga 2 push "$WORK/web.tar.zst" >/dev/null 2>&1
echo "push_ms $(($(now_ms) - started))"

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

minga 1 start web >/dev/null
measure start_ms 10 answered 3
pid=$(service_pid "$(number_running 1)")
kill -KILL "$pid"
measure process_ms 10 eval 'is_gone '"$pid"' && answered 1'

manager=$(number_of_name "$(manager_of 1 web)")
victim=
for n in 1 2 3; do
    i=$(number_running $n)
    [ "$i" = "$manager" ] || victim=$i
done
asker=$(a_third "$manager" "$victim")
node_kill "$victim"
measure node_ms 30 elsewhere "$asker" "$victim"
all_back

manager=$(number_of_name "$(manager_of 2 web)")
asker=$(a_third "$manager")
node_kill "$manager"
measure manager_ms 30 elsewhere "$asker" "$manager"
all_back

manager=$(number_of_name "$(manager_of 1 web)")
for n in 1 2 3; do
    i=$(number_running $n)
    [ "$i" = "$manager" ] || victim=$i
done
asker=$(a_third "$manager" "$victim")
node_kill "$victim"
node_kill "$manager"
measure both_ms 30 elsewhere "$asker" "$victim" "$manager"
all_back

victim=$(number_running 2)
[ "$victim" != 1 ] || victim=$(number_running 3)
cable_cut "$victim"
cut=$(now_ms)
measure cable_ms 30 elsewhere 1 "$victim"
wait_until 40 is_empty pids_in_cgroup "$victim"
echo "orphan_ms $(($(now_ms) - cut))"
cable_back "$victim"
measure cable_back_ms 30 eval 'sees_members '"$victim"' 5 && exactly_three'

for i in 1 2 3 4 5; do node_kill "$i"; done
for i in 1 2 3 4 5; do node_launch "$i"; done
measure all_ms 30 answered 1
