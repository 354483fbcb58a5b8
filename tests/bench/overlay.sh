#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# overlay.sh [NODES [IDLE_SECONDS [PARTS]]]: the overlay of many real agents on this machine (32), each with
# a network namespace of its own, without replicas; beside serf and OpenDHT where they are installed.
# PARTS names some of "idle lookups records noticing restart"; all by default. Absolute times drift with the machine and with what else it does: compare within one run.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
nodes=${1:-32}
idle_seconds=${2:-60}
parts=${3-idle lookups records noticing restart}
PROBE=$BIN/bench_overlay_probe
# shellcheck source=tests/system/community.sh
. "$here/../system/community.sh"
# shellcheck source=tests/bench/peers.sh
. "$here/peers.sh"
# shellcheck source=tests/bench/many.sh
. "$here/many.sh"

# notice TEXT GOAL VICTIMS COMMAND...
notice() {
    local text=$1 goal=$2 victims=$3
    shift 3
    probe notice 30 "$victims" "$@"
    row "$text: its ring neighbours know" "$(of neighbours_ms)" ms "$goal"
    row "$text: all know" "$(of all_ms)" ms -
    row "$text: arcs taken over" "$(of arcs_ms)" ms -
}
# kill_and_notice TEXT GOAL I...: and back.
kill_and_notice() {
    local text=$1 goal=$2 i pids=() victims
    shift 2
    for i in "$@"; do pids+=("${AGENT_PID[$i]}"); done
    victims=$(IFS=,; echo "$*")
    notice "$text" "$goal" "$victims" kill -KILL "${pids[@]}"
    for i in "$@"; do agent_kill "$i"; done
    launch "$@"
    answer "$@"
    heal
}

measure_ring() {
    row "$nodes agents join at once: until one ideal ring" "$(of ideal_ms)" ms 1000
    row "  processor time of all meanwhile" "$join_cpu_ms" ms -
    sleep 5
}
measure_lookups() {
    probe lookups 3000
    row "the control API alone, p50" "$(of api_p50_us)" us -
    row "lookup through it, p50" "$(of lookup_p50_us)" us 250
    row "lookup through it, p99" "$(of lookup_p99_us)" us 1000
    [ "$(of lookup_failed)" = 0 ] || row "lookups that failed" "$(of lookup_failed)" "" 0
    probe rate 5 8
    row "lookups a second, 8 clients" "$(of lookups_per_s)" 1/s -
}
measure_records() {
    probe records "$WORK/home/.config/minga/owner.key" 300
    row "get, p50" "$(of get_p50_us)" us 250
    row "get, p99" "$(of get_p99_us)" us 1000
    row "put on two disks, p50" "$(of put_p50_us)" us 1000
    row "put on two disks while nothing else is put, p50" "$(of put_alone_p50_us)" us -
    row_packets
    [ "$(of records_failed)" = 0 ] || row "puts and gets that failed" "$(of records_failed)" "" 0
}
# A community is at rest when the links of the join, unused for a minute, are closed, and storage is balanced.
measure_idle() {
    local before settle_seconds=80
    probe idle "$settle_seconds"
    row "traffic of a node in the first $settle_seconds s after that" "$(of idle_bytes_per_s)" B/s -
    before=$(cpu_ms)
    probe idle "$idle_seconds"
    row "idle processor time of a node" "$((($(cpu_ms) - before) * 1000 / nodes / idle_seconds))" us/s 1000
    row "idle traffic of a node, with all headers" "$(of idle_bytes_per_s)" B/s 300
    row "idle packets of a node" "$(of idle_packets_per_s)" 1/s -
    row "private memory of a node, median" "$(of private_kib)" KiB 6144
    row "private memory of a node, most" "$(of private_most_kib)" KiB 6144
    probe alarms "$idle_seconds"
    row "false alarms in $idle_seconds s" "$(of false_alarms)" "" 0
}
measure_noticing() {
    local quarter half
    quarter=$(seq 2 $((nodes / 4 + 1)))
    half=$(seq 3 $((nodes / 2 + 2)))
    kill_and_notice "a process killed" 200 5
    # shellcheck disable=SC2086
    kill_and_notice "25 % killed" 200 $quarter
    # shellcheck disable=SC2086
    kill_and_notice "50 % killed" 200 $half
    notice "a host gone silent" 3000 7 ip -n "$(ns_of switch)" link set port7 down
    cable_back 7
    heal
}
measure_restart() {
    local i started
    for ((i = 1; i <= nodes; i++)); do agent_kill "$i"; done
    started=$(now_ms)
    # shellcheck disable=SC2046
    launch $(seq "$nodes")
    list_all
    probe ideal 60 "$started"
    row "all killed and started: until one ideal ring" "$(of ideal_ms)" ms 1000
    row "  processor time of all since they started" "$(cpu_ms)" ms -
}

launch_all
join_all
measure_ring
for part in $parts; do "measure_$part"; done
[ -n "${WITHOUT_PEERS:-}" ] || measure_peers
[ ! -x "$here/rings.sh" ] || [ -n "${WITHOUT_RINGS:-}" ] || BIN=$BIN "$here/rings.sh"
