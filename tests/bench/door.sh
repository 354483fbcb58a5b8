#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# door.sh [ROUNDS]: what a port for members only costs, through `minga connect`, beside the public port
# of the same replica and the plain loopback of the same namespace. ROUNDS times (3) one after the
# other; prints the median of each: NAME, Gbit/s down, up, us of a round trip, connections a second.
# As root; sandbox.sh makes rows of it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
rounds=${1:-3}
plain_port=9123
# shellcheck source=tests/system/community.sh
. "$here/../system/community.sh"

node_config() {
    cat <<CONFIG
contribute: {cpu: "2.0", memory: 512M, disk: 512M, storage: 512M, keep_free: 0%, pids: 512, upload: 0, download: 0}
CONFIG
}
PIDS=()
end_pids() { kill_pids TERM "${PIDS[@]}"; }
AT_END=end_pids
# stays COMMAND...: in the node's place, until the end.
stays() {
    nsenter --net="/run/netns/$(ns_of 1)" "$@" </dev/null &
    PIDS+=($!)
}

community_new 1
node_start 1
community_form
mkdir -p "$WORK/web/bin"
cp "$BIN/bench_port" "$WORK/web/bin/"
# One program serves both: from inside, a port for members is a port as any.
cat >"$WORK/web/service.yaml" <<'YAML'
name: web
command: [/bin/bench_port, serve, "9000", "9001"]
resources: {cpu: 2.0, memory: 64M, disk: 16M, pids: 64}
ports:
  - {name: open, container: 9000}
  - {name: club, container: 9001, visibility: members}
YAML
minga 1 push "$WORK/web" >/dev/null
minga 1 start web --wait=30s >/dev/null
HOME=$WORK/home MINGA_SOCKET=$(socket_of 1) stays "$BIN/minga" connect web club >"$WORK/club"
stays "$BIN/bench_port" serve "$plain_port"
wait_until 20 test -s "$WORK/club"
public=$(minga 1 --json status web | jq -r '.services[0].replicas[0].ports.open')
members=$(head -n 1 "$WORK/club")
for ((i = 0; i < rounds; i++)); do
    for way in "plain $plain_port" "public $public" "members ${members##*:}"; do
        printf '%s ' "${way% *}"
        in_node 1 timeout 60 "$BIN/bench_port" ask "${way#* }" || echo
    done
done | awk 'NF == 5' >"$WORK/figures"
for name in plain public members; do
    printf '%s' "$name"
    for column in 2 3 4 5; do
        awk -v name="$name" -v column="$column" '$1 == name {print $column}' "$WORK/figures" | sort -g |
            awk '{t[NR] = $1} END {if (NR) printf " %s", t[int((NR + 1) / 2)]}'
    done
    echo
done
