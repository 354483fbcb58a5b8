# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# The same of serf (SWIM) and OpenDHT, where they are installed: sourced by overlay.sh. All their
# nodes (how many: `nodes`) live in the namespace of the community's user.

measure_peers() {
    local nodes=${nodes:?}
    if command -v serf >/dev/null; then measure_serf; else say "serf is not installed"; fi
    if command -v dhtnode >/dev/null; then measure_dhtnode; else say "dhtnode is not installed"; fi
}

# resident_kib PID...: median.
resident_kib() {
    local pid
    for pid in "$@"; do awk '/^VmRSS/ {print $2}' "/proc/$pid/status"; done | sort -n |
        sed -n "$((($# + 1) / 2))p"
}
private_of() {
    local pid
    for pid in "$@"; do
        awk '/^Private_/ {sum += $2} END {print sum}' "/proc/$pid/smaps_rollup"
    done | sort -n | sed -n "$((($# + 1) / 2))p"
}
loopback_bytes() { in_node user awk '/lo:/ {sub(/.*lo:/, ""); print $1}' /proc/net/dev; }
end_all() {
    kill_pids TERM "$@"
    wait "$@" 2>/dev/null || true
}

# serf_alive I: how many alive members node I sees.
serf_alive() {
    in_node user serf members -rpc-addr="127.0.0.1:$((17000 + $1))" -status=alive 2>/dev/null | wc -l
}
serf_see() { # COUNT I...
    local count=$1 i
    shift
    for i in "$@"; do [ "$(serf_alive "$i")" = "$count" ] || return 1; done
}
measure_serf() {
    local i pids=() started bytes
    started=$(now_ms)
    for ((i = 1; i <= nodes; i++)); do
        # Not in_node: the pid must be the program's own.
        nsenter --net="/run/netns/$(ns_of user)" serf agent -node="s$i" -bind="127.0.0.1:$((16000 + i))" \
            -rpc-addr="127.0.0.1:$((17000 + i))" -retry-join=127.0.0.1:16001 -retry-interval=200ms \
            >/dev/null 2>&1 </dev/null &
        pids+=($!)
    done
    # shellcheck disable=SC2046
    wait_until 60 serf_see "$nodes" $(seq "$nodes") || say "serf: not all see all"
    row "serf: all see all (asked one after the other)" $(($(now_ms) - started)) ms -
    sleep 5
    bytes=$(loopback_bytes)
    sleep 20
    row "serf: idle traffic of a node" $((($(loopback_bytes) - bytes) / 20 / nodes)) B/s -
    row "serf: resident / private memory" "$(resident_kib "${pids[@]}")/$(private_of "${pids[@]}")" KiB -
    started=$(now_ms)
    kill -KILL "${pids[4]}"
    wait "${pids[4]}" 2>/dev/null || true
    wait_until 40 serf_see $((nodes - 1)) 1 2 3 10 20 || say "serf: not noticed"
    row "serf: a process killed: five others know" $(($(now_ms) - started)) ms -
    end_all "${pids[@]}"
}

measure_dhtnode() {
    local i pids=() bytes before
    for ((i = 1; i <= nodes; i++)); do
        nsenter --net="/run/netns/$(ns_of user)" dhtnode -p $((18000 + i)) -b 127.0.0.1:18001 -s >/dev/null 2>&1 </dev/null &
        pids+=($!)
    done
    sleep 5
    bytes=$(loopback_bytes)
    sleep 20
    row "OpenDHT: idle traffic of a node" $((($(loopback_bytes) - bytes) / 20 / nodes)) B/s -
    row "OpenDHT: resident / private memory" "$(resident_kib "${pids[@]}")/$(private_of "${pids[@]}")" KiB -
    before=${#pids[@]}
    [ "$(for i in "${pids[@]}"; do kill -0 "$i" 2>/dev/null && echo; done | wc -l)" = "$before" ] ||
        say "OpenDHT: not all its nodes run"
    end_all "${pids[@]}"
}

# What one node of OpenDHT takes for COUNT puts and gets; in memory only, nothing is on a disk.
dht_took() { # PATTERN PERCENT: of the lines `...PATTERN 352 us`, in us
    sed -n "s/.*$1 \([0-9.]*\) \(us\|ms\|s\)\b.*/\1 \2/p" "$WORK/dht" |
        awk '{print int($1 * ($2 == "us" ? 1 : $2 == "ms" ? 1000 : 1000000))}' | sort -n |
        awk -v percent="$2" '{all[NR] = $1} END {print NR == 0 ? "-" : all[int((NR - 1) * percent / 100) + 1]}'
}
dht_commands() { # COUNT
    local i
    sleep 6
    for ((i = 0; i < $1; i++)); do printf 'p %040x value-%d\n' $((i * 7919 + 12345)) "$i"; sleep 0.01; done
    sleep 3
    for ((i = 0; i < $1; i++)); do printf 'g %040x\n' $((i * 7919 + 12345)); sleep 0.01; done
    sleep 3
    echo q
}
measure_dht_storage() {
    local i pids=() nodes=${nodes:?}
    if ! command -v dhtnode >/dev/null; then say "dhtnode is not installed"; return; fi
    for ((i = 1; i < nodes; i++)); do
        nsenter --net="/run/netns/$(ns_of user)" dhtnode -p $((18000 + i)) -b 127.0.0.1:18001 -s >/dev/null 2>&1 </dev/null &
        pids+=($!)
    done
    sleep 3
    dht_commands "$1" | in_node user timeout 120 dhtnode -p 18900 -b 127.0.0.1:18001 >"$WORK/dht" 2>&1 || true
    row "OpenDHT: put (in memory only), p50" "$(dht_took 'Put: success, took' 50)" us -
    row "OpenDHT: put (in memory only), p99" "$(dht_took 'Put: success, took' 99)" us -
    row "OpenDHT: get, until the value is there, p50" "$(dht_took 'value(s) after' 50)" us -
    row "OpenDHT: get, until the value is there, p99" "$(dht_took 'value(s) after' 99)" us -
    end_all "${pids[@]}"
}
