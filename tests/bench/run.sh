#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# run.sh [ROUNDS]: times, memory and CPU of five real agents with a real service on this machine;
# median of ROUNDS communities (3), beside the goal. Absolute times drift with the machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
rounds=${1:-3}
if ! [[ $rounds =~ ^[1-9][0-9]?$ ]]; then
    echo "bench: expected a number of rounds, overlay, sandbox or storage, got \"$rounds\"" >&2
    exit 2
fi
results=$(mktemp)
trap 'rm -f "$results"' EXIT

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    BIN=$BIN "$here/table.sh" >>"$results"
done

row() { # row NAME TEXT UNIT GOAL
    local values
    values=$(awk -v name="$1" '$1 == name {print $2}' "$results" | sort -n)
    printf '%-50s %8s %-8s %7s   (%s)\n' "$2" "$(sed -n "$(((rounds + 1) / 2))p" <<<"$values")" "$3" "$4" \
        "$(tr '\n' ' ' <<<"$values" | sed 's/ $//')"
}
printf '%-50s %8s %-8s %7s\n' "five nodes, median of $rounds" "median" "" "at most"
row ring_ms "started and joined to one ring" ms 5000
row push_ms "push of a 2 MiB bundle" ms -
row start_ms "start to three replicas answering" ms 2000
row process_ms "a replica's process killed to three answering" ms 1000
row node_ms "a node with a replica killed to 3/3 elsewhere" ms 5000
row manager_ms "the manager's node killed to 3/3 elsewhere" ms 8000
row both_ms "both at once to 3/3 elsewhere" ms 10000
row cable_ms "a node's cable cut to 3/3 elsewhere" ms 8000
row orphan_ms "its own copy ended" ms 20000
row cable_back_ms "cable back to exactly three" ms 15000
row all_ms "all killed and started again to 3/3" ms 15000
row idle_private_kib "idle agent: private memory" KiB 14336
row idle_cpu_permille "idle agent: CPU" permille 5
