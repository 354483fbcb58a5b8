#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# rings.sh [quick]: large rings of the shipped code in virtual time: hops, right answers and bytes;
# the table of docs/simulator.md. Some minutes with `quick` (10^3 and 10^4 nodes), else about an
# hour. Exit status 1 when a goal is missed.
set -uo pipefail
here=$(dirname "$(realpath "$0")")
RINGS=$(realpath "${BIN:-$here/../../build/release/bin}")/minga-rings
status=0

run() { # run TITLE OPTIONS...
    printf '\n== %s: minga-rings %s\n' "$1" "${*:2}"
    "$RINGS" "${@:2}" || status=1
}

sizes=(1000 10000 100000)
lookups=1000000
if [ "${1:-}" = quick ]; then
    sizes=(1000 10000)
    lookups=50000
fi
for nodes in "${sizes[@]}"; do
    run "$nodes nodes, no cache" --nodes "$nodes" --askers "$nodes" --lookups 50000 \
        --hops-max 500 --missed-max 0
    run "$nodes nodes, cache of 256, uniform keys" --nodes "$nodes" --askers 128 --cache \
        --lookups 50000 --hops-max 420 --missed-max 0
done
for nodes in 1000 10000; do
    run "$nodes nodes, a fifth lies together" --nodes "$nodes" --askers "$nodes" --liars 200 \
        --witnesses 6 --lookups 10000 --missed-max 60
done
run "1000 nodes, cut and healed" --nodes 1000 --split --minutes 2 --periods-max 3
run "1000 nodes, sessions of 1 h" --nodes 1000 --session 3600 --lookups "$lookups" \
    --missed-max $((lookups / 100000)) --bytes-max 150
run "1000 nodes, sessions of 10 min, 1 % lost" --nodes 1000 --session 600 --loss 10 \
    --lookups $((lookups / 5)) --missed-max $((lookups / 50000)) --hops-max 500 --bytes-max 150
if [ "${1:-}" != quick ]; then
    run "10000 nodes, sessions of 1 h" --nodes 10000 --session 3600 --warm 10 --minutes 20 \
        --lookups 200000 --missed-max 2 --bytes-max 150
fi
# Hosts of SETI@home and an IPFS-like population: their Weibull shapes, at a mean of 1 h.
for shape in 393 608; do
    run "1000 nodes, Weibull sessions" --nodes 1000 --session 3600 --shape "$shape" \
        --minutes 20 --lookups 50000 --missed-max 1 --bytes-max 200
done
exit $status
