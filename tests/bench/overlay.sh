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

node_config() {
    cat <<CONFIG
roles: [store]
contribute: {cpu: "0.1", memory: 16M, disk: 16M, storage: 64M, keep_free: 0%, pids: 16}
CONFIG
}
# row TEXT VALUE UNIT GOAL
row() { printf '%-52s %9s %-7s %8s\n' "$1" "$2" "$3" "$4"; }
# of NAME: the value of that name in the last figures.
of() { awk -v name="$1" '$1 == name {print $2}' "$WORK/figures"; }
# The shell has something to say of each agent that is killed meanwhile.
probe() { { "$PROBE" "$WORK/list" "$@" 2>&3 >"$WORK/figures" || true; } 3>&2 2>/dev/null; }
# cpu_ms: what all agents have used since they started; on a busy machine it says more than a clock.
cpu_ms() {
    local i
    for i in "${!AGENT_PID[@]}"; do cat "/proc/${AGENT_PID[$i]}/stat"; done |
        awk -v ticks="$(getconf CLK_TCK)" '{sum += $14 + $15} END {print int(sum * 1000 / ticks)}'
}
# list [I...]: those agents are asked from here on; all when none is named.
list() {
    local i
    for i in "${@:-${!AGENT_PID[@]}}"; do
        echo "$i ${AGENT_PID[$i]} $(socket_of "$i")"
    done >"$WORK/list"
}
list_all() {
    # shellcheck disable=SC2046
    list $(seq "$nodes")
}
launch() { for i in "$@"; do node_launch "$i"; done; }
answer() { for i in "$@"; do wait_until 20 minga "$i" node; done; }
# Back to one ideal ring of all, and quiet.
heal() {
    list_all
    probe ideal 60 "$(now_ms)"
    [ "$(of ideal_ms)" != never ] || say "the ring did not become ideal again"
    sleep 3
}
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

# All namespaces of a machine share one table of neighbours, of 1024 entries: 32 nodes that all talk to
# all would fill it, and connections would fail. Permanent entries do not count.
know_neighbours() {
    local i j macs=()
    for ((i = 1; i <= nodes; i++)); do
        macs[i]=$(ip -n "$(ns_of "$i")" -br link show eth0 | awk '{print $3}')
    done
    for ((i = 1; i <= nodes; i++)); do
        for ((j = 1; j <= nodes; j++)); do
            [ "$i" = "$j" ] ||
                echo "neigh replace $(address_of "$j") lladdr ${macs[j]} dev eth0 nud permanent"
        done | ip -n "$(ns_of "$i")" -batch -
    done
}

join_all() {
    local i joins=() started
    minga 1 community create allotment >/dev/null 2>&1
    minga 1 invite >"$WORK/token" 2>/dev/null
    join_cpu_ms=$(cpu_ms)
    started=$(now_ms)
    for ((i = 2; i <= nodes; i++)); do
        minga "$i" join --yes --token-file "$WORK/token" >/dev/null 2>&1 &
        joins+=($!)
    done
    probe ideal 60 "$started"
    join_cpu_ms=$(($(cpu_ms) - join_cpu_ms))
    wait "${joins[@]}" || say "not all have joined"
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
    row "packets of a get" "$(of get_packets)" "" 2
    row "packets of a put until it is acknowledged" "$(of put_acknowledged_packets)" "" 8
    row "packets of a put, all copies" "$(of put_packets)" "" -
    [ "$(of records_failed)" = 0 ] || row "puts and gets that failed" "$(of records_failed)" "" 0
}
measure_idle() {
    local before
    sleep 10
    before=$(cpu_ms)
    probe idle "$idle_seconds"
    row "idle processor time of a node" "$((($(cpu_ms) - before) * 1000 / nodes / idle_seconds))" us/s 1000
    row "idle traffic of a node, with all headers" "$(of idle_bytes_per_s)" B/s 300
    row "idle packets of a node" "$(of idle_packets_per_s)" 1/s -
    row "private memory of a node, median" "$(of private_kib)" KiB 6144
    row "private memory of a node, most" "$(of private_most_kib)" KiB 6144
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

community_new "$nodes"
know_neighbours
# shellcheck disable=SC2046
launch $(seq "$nodes")
# shellcheck disable=SC2046
answer $(seq "$nodes")
list_all
row "minga, $nodes nodes" "now" "" "goal"
join_all
measure_ring
for part in $parts; do "measure_$part"; done
[ -n "${WITHOUT_PEERS:-}" ] || measure_peers
[ ! -x "$here/rings.sh" ] || [ -n "${WITHOUT_RINGS:-}" ] || BIN=$BIN "$here/rings.sh"
