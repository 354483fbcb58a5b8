#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# run.sh [ROUNDS]: times, memory and CPU of five real agents with a real service on this machine;
# median of ROUNDS communities (3), beside the goal. Absolute times drift with the machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
rounds=${1:-3}
results=$(mktemp)
trap 'rm -f "$results"' EXIT

# One round in a process of its own, since community_end ends with it. Prints `NAME VALUE`.
if [ "${BENCH_ROUND:-}" = yes ]; then
    # shellcheck source=tests/system/community.sh
    . "$here/../system/community.sh"
    measure() { # measure NAME SECONDS COMMAND...: ms until the command holds
        local name=$1 seconds=$2 started
        shift 2
        started=$(now_ms)
        if wait_until "$seconds" "$@"; then echo "$name $(($(now_ms) - started))"; else echo "$name never"; fi
    }
    private_kib() { awk '/^Private_(Clean|Dirty)/ {sum += $2} END {print sum}' "/proc/${AGENT_PID[$1]}/smaps_rollup"; }
    cpu_ticks() { awk '{print $14 + $15}' "/proc/${AGENT_PID[$1]}/stat"; }

    community_new 5
    started=$(now_ms)
    for i in 1 2 3 4 5; do node_start "$i"; done
    community_form
    echo "ring_ms $(($(now_ms) - started))"

    sleep 10
    before=$(cpu_ticks 2)
    sleep 20
    echo "idle_cpu_permille $((($(cpu_ticks 2) - before) * 1000 / (20 * $(getconf CLK_TCK))))"
    echo "idle_private_kib $(private_kib 2)"

    "$here/../fixtures/make_web.sh" "$WORK/web.tar.zst" 1024
    started=$(now_ms)
    minga 2 push "$WORK/web.tar.zst" >/dev/null
    echo "push_ms $(($(now_ms) - started))"
    started=$(now_ms)
    minga 2 start web
    measure start_ms 10 all_answer 2 web 3

    node=$(number_of_name "$(nodes_of 1 web | head -n 1)")
    for pid in $(pids_in_cgroup "$node"); do
        case $(tr '\0' ' ' <"/proc/$pid/cmdline") in /bin/busybox*) kill -KILL "$pid" ;; esac
    done
    # shellcheck disable=SC2317 # called by measure
    restarted() { [ "$(minga 1 --json status web | jq '[.services[0].replicas[].restarts] | add')" -ge 1 ] && all_answer 1 web 3; }
    measure process_ms 10 restarted

    # shellcheck disable=SC2317 # called by measure
    healed() { ! nodes_of "$1" web | grep -cx "$2" && has_running "$1" web 3 && all_answer "$1" web 3; }
    manager=$(manager_of 1 web)
    victim=$(nodes_of 1 web | grep -vx "$manager" | head -n 1)
    for i in 1 2 3 4 5; do case $(name_of "$i") in "$victim" | "$manager") ;; *) asker=$i ;; esac; done
    node_kill "$(number_of_name "$victim")"
    measure node_ms 20 healed "$asker" "$victim"
    node_start "$(number_of_name "$victim")"
    wait_until 15 sees_members "$asker" 5
    sleep 2
    manager=$(manager_of "$asker" web)
    for i in 1 2 3 4 5; do [ "$(name_of "$i")" = "$manager" ] || asker=$i; done
    node_kill "$(number_of_name "$manager")"
    measure manager_ms 20 healed "$asker" "$manager"
    exit 0
fi

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    BENCH_ROUND=yes BIN=$BIN "$here/run.sh" >>"$results"
done

row() { # row NAME TEXT UNIT GOAL
    local values
    values=$(awk -v name="$1" '$1 == name {print $2}' "$results" | sort -n)
    printf '%-48s %10s %-9s %8s   (%s)\n' "$2" "$(sed -n "$(((rounds + 1) / 2))p" <<<"$values")" "$3" "$4" \
        "$(tr '\n' ' ' <<<"$values" | sed 's/ $//')"
}
printf '%-48s %10s %-9s %8s\n' "five nodes, median of $rounds" "median" "" "at most"
row ring_ms "started and joined to one ring" ms 5000
row push_ms "push of a 2 MiB bundle" ms -
row start_ms "start to three replicas answering" ms 2000
row process_ms "a replica's process killed to 3/3" ms 1000
row node_ms "a node with a replica killed to 3/3 elsewhere" ms 5000
row manager_ms "the manager's node killed to 3/3 elsewhere" ms 8000
row idle_private_kib "idle agent: private memory" KiB 14336
row idle_cpu_permille "idle agent: CPU" permille 5
