#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# storage.sh [NODES [RECORDS]]: records of many real agents on this machine (32), each with a network
# namespace of its own: latency, rate and packets; then a quarter and a half of the agents are killed,
# and all records read from 0.5 s after; then how evenly chunks lie. Beside the bare disk, and OpenDHT
# where it is installed.
# Absolute times drift with the machine and with what else it does: compare within one run.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
nodes=${1:-32}
records=${2:-400}
PROBE=$BIN/bench_overlay_probe
# shellcheck source=tests/system/community.sh
. "$here/../system/community.sh"
# shellcheck source=tests/bench/peers.sh
. "$here/peers.sh"
# shellcheck source=tests/bench/many.sh
. "$here/many.sh"

owner_key() { echo "$WORK/home/.config/minga/owner.key"; }

# What the disk itself takes for a durable write: 4 KiB in place, and at the end of a file.
measure_disk() {
    local file=$WORK/floor
    dd if=/dev/zero of="$file" bs=4k count=256 conv=fsync status=none
    row "the disk alone: 256 writes of 4 KiB in place, each" "$(each_us "$file" notrunc)" us -
    rm "$file"
    row "the disk alone: the same at the end of a file, each" "$(each_us "$file" notrunc)" us -
}
each_us() {
    dd if=/dev/zero of="$1" bs=4k count=256 conv="$2" oflag=dsync 2>&1 |
        LC_ALL=C awk '/copied/ {for (i = 1; i < NF; i++) if ($(i + 1) ~ /^s,/) print int($i * 1000000 / 256)}'
}
measure_puts_and_gets() {
    probe records "$(owner_key)" "$records"
    row "get, p50" "$(of get_p50_us)" us 250
    row "get, p99" "$(of get_p99_us)" us 1000
    row "put on two disks, p50" "$(of put_p50_us)" us 1000
    row "put on two disks, p99" "$(of put_p99_us)" us -
    row "put on two disks while nothing else is put, p50" "$(of put_alone_p50_us)" us -
    row_packets
    [ "$(of records_failed)" = 0 ] || row "puts and gets that failed" "$(of records_failed)" "" 0
    probe puts "$(owner_key)" 5 8
    row "puts a second, 8 clients" "$(of puts_per_s)" 1/s -
}
# survive TEXT I...: they are killed; then back to what it was.
survive() {
    local text=$1 victims
    shift
    victims=$(IFS=,; echo "$*")
    probe survive "$(owner_key)" "$records" 500 "$victims"
    row "$text killed: records written before" "$(of records)" "" -
    row "  found from 0.5 s after" "$(of found)" "" -
    row "  not found though a holder lives" "$(of missed)" "" 0
    row "  without a living holder" "$(of no_holder)" "" -
    row "  get, p50" "$(of after_p50_us)" us -
    row "  get, p99" "$(of after_p99_us)" us 50000
    row "  get before the kill, p99" "$(of before_p99_us)" us -
    for i in "$@"; do agent_kill "$i"; done
    launch "$@"
    answer "$@"
    heal
}
measure_kills() {
    # shellcheck disable=SC2046
    survive "a quarter" $(seq 2 $((nodes / 4 + 1)))
    # shellcheck disable=SC2046
    survive "half" $(seq 3 $((nodes / 2 + 2)))
}
# Shares skewed 1 to 16, two nodes of each size; the first, which pushes, has the largest.
node_config() {
    cat <<CONFIG
roles: [store]
contribute: {cpu: "0.1", memory: 16M, disk: 16M, storage: $((8 * (16 - ($1 - 1) % 16)))M, keep_free: 0%, pids: 16}
CONFIG
}
# loads: of each node the permille of its share in use by chunks that live there; max to mean, and copies sent.
loads() {
    local i
    for ((i = 1; i <= nodes; i++)); do minga "$i" --json storage; done |
        jq -s '{home: [.[].share.home_bytes], given: [.[].share.limit_bytes],
                moved: ([.[].repair.moved_bytes] | add), positions: ([.[].share.positions | length] | add)} |
            (([.home, .given] | transpose | map(.[0] / .[1]) | max) / ((.home | add) / (.given | add))) as $all |
            (.home | add) as $stored |
            "load_ratio \($all * 100 | round / 100)\nstored_bytes \($stored)\nmoved_bytes \(.moved)\npositions \(.positions)"' -r \
            >"$WORK/figures"
}
# 2400 chunks of 16 KiB are pushed; then the nodes are left alone.
measure_balance() {
    local file moved
    mkdir -p "$WORK/many/bin"
    cp "$(command -v busybox)" "$WORK/many/bin/sh"
    for ((file = 1; file <= 2400; file++)); do
        head -c 16384 /dev/urandom >"$WORK/many/$file"
    done
    printf 'name: many\ncommand: [/bin/sh, -c, "sleep 1000"]\nresources: {cpu: 0.1, memory: 16M, disk: 16M, pids: 16}\n' \
        >"$WORK/many/service.yaml"
    sleep 60 # who came back after the kills has chosen its positions anew
    minga 1 push "$WORK/many" >/dev/null || say "not all was pushed"
    sleep 15
    loads
    moved=$(of moved_bytes)
    row "stored over capacity 1 to 16, max to mean, pushed" "$(of load_ratio)" "" 1.3
    row "  positions of all" "$(of positions)" "" -
    sleep "${BALANCE_S:-900}"
    loads
    row "  ${BALANCE_S:-900} s later" "$(of load_ratio)" "" 1.3
    row "  stored, all copies" "$(of stored_bytes)" bytes -
    row "  sent for it" "$(($(of moved_bytes) - moved))" bytes -
}

launch_all
say "load of this machine: $(cut -d ' ' -f 1-3 /proc/loadavg)"
join_all
heal
sleep 15 # all have compared what they have, and are quiet
parts=${PARTS:-disk puts_and_gets kills balance}
for part in $parts; do "measure_$part"; done
[ -n "${WITHOUT_PEERS:-}" ] || measure_dht_storage "$records"
