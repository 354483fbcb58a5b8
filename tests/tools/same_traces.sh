#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The same seeds give the same traces whatever compiled the code: gcc and clang, -O0 and -O2.
# usage: same_traces.sh [SEED...]   run from the root; builds minga-sim four times below build/
set -euo pipefail

seeds=("$@")
[ $# -gt 0 ] || seeds=(1 2 3 5 8 13 20)
bad=0
mkdir -p build

hashes_of() {
    local seed
    for seed in "${seeds[@]}"; do
        printf 'seed %s %s\n' "$seed" "$("$1" --seed "$seed" | grep '^hash')"
    done
    printf 'overlay %s\n' "$("$1" --seed 1 --nodes 32 --overlay | grep '^hash')"
}

for compiler in gcc clang; do
    for level in -O0 -O2; do
        folder=build/traces$level-$compiler
        cmake -S . -B "$folder" -G Ninja -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=None \
            -DCMAKE_C_FLAGS="$level" -DMINGA_WERROR=OFF >"$folder.log" 2>&1 || {
            cat "$folder.log" >&2
            exit 1
        }
        cmake --build "$folder" --target minga-sim >>"$folder.log" 2>&1 || {
            tail -n 40 "$folder.log" >&2
            exit 1
        }
        hashes_of "$folder/bin/minga-sim" >"$folder.hashes"
        cmp -s "$folder.hashes" build/traces-O0-gcc.hashes || {
            echo "traces: $compiler $level differs from gcc -O0:" >&2
            diff build/traces-O0-gcc.hashes "$folder.hashes" >&2 || true
            bad=1
        }
    done
done
echo "traces: ${#seeds[@]} seeds and one of the overlay alone, 4 builds, $([ $bad = 0 ] && echo equal || echo DIFFERENT)"
exit $bad
