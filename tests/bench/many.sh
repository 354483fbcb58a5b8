# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Many agents of one machine (how many: `nodes`), asked by bench_overlay_probe (PROBE): sourced by overlay.sh and
# storage.sh after community.sh.
nodes=${nodes:?}

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
    {
        echo "switch /run/netns/$(ns_of switch)"
        for i in "${@:-${!AGENT_PID[@]}}"; do
            echo "$i ${AGENT_PID[$i]} $(socket_of "$i")"
        done
    } >"$WORK/list"
}
# Rows of packets, after "probe records".
row_packets() {
    row "packets with data of a get" "$(of get_data_packets)" "" 2
    row "  bare acknowledgements of TCP besides" "$(of get_bare_packets)" "" -
    row "packets with data of a put until it is acknowledged" "$(of put_acknowledged_data_packets)" "" 8
    row "  bare acknowledgements until then" "$(of put_acknowledged_bare_packets)" "" -
    row "  with data within 70 ms after that" "$(of put_after_data_packets)" "" -
    row "  bare acknowledgements within 70 ms after that" "$(of put_after_bare_packets)" "" -
    row "packets with data of a put, all copies" "$(of put_data_packets)" "" -
    row "  bare acknowledgements besides" "$(of put_bare_packets)" "" -
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
# All of them run, answer, and are asked from here on.
launch_all() {
    community_new "$nodes"
    know_neighbours
    # shellcheck disable=SC2046
    launch $(seq "$nodes")
    # shellcheck disable=SC2046
    answer $(seq "$nodes")
    list_all
    row "minga, $nodes nodes" "now" "" "goal"
}
