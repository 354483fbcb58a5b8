#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A member that lies (independent/liar.py): what it says is well-formed, and nothing that an honest one would
# say. The others stay up, keep their places and answer; their memory and their disks stay quiet.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
SERVED_MS_MAX=${SERVED_MS_MAX:-1000}
GROWTH_KIB_MAX=${GROWTH_KIB_MAX:-8192}
WRITTEN_KIB_MAX=${WRITTEN_KIB_MAX:-2048}

TOOLS=$BIN
community_new 3
# shellcheck source=tests/system/stranger.sh
. "$here/stranger.sh"
places 1 5 8
stranger_new f
stranger_joins liar.py
ids_note 1 2 3 9
within 5 "the ring is ideal" is_ideal 1 2 3 9
check "it writes a record" ask put thing

for i in 1 2 3; do echo "$i ${AGENT_PID[$i]} $(socket_of "$i")"; done >"$WORK/list"
figure() { awk -v name="$1" '$1 == name {print $2}' "$WORK/health"; }
memory_kib() { awk '/^VmRSS/ {sum += $2} END {print sum}' "/proc/${AGENT_PID[1]}/status" "/proc/${AGENT_PID[2]}/status"; }
written_kib() { awk '/^write_bytes/ {print int($2 / 1024)}' "/proc/${AGENT_PID[1]}/io"; }
# deed NAME SENTENCE: it does that, while members ask each other.
deed() {
    local memory written worst
    memory=$(memory_kib) written=$(written_kib)
    ask "$1" >/dev/null &
    "$TOOLS/bench_overlay_probe" "$WORK/list" health 2 >"$WORK/health" 2>/dev/null || true
    wait $! || fail "$2: it said so"
    worst=$(figure worst_member_ms)
    memory=$(($(memory_kib) - memory)) written=$(($(written_kib) - written))
    echo "# $1: worst answer $worst ms, $(figure failed) failed, $memory KiB more memory, $written KiB written"
    check "$2: all are answered" test "$(figure failed)" = 0 -a "$worst" -le "$SERVED_MS_MAX"
    check "$2: memory and disk are quiet" test "$memory" -le "$GROWTH_KIB_MAX" -a "$written" -le "$WRITTEN_KIB_MAX"
    within 5 "$2: all are up, and stand where they stood" eval 'agents_see 4 && is_ideal 1 2 3 9'
}
deed epochs "it names ever greater epochs"
deed replays "it tells again what was signed before, and greets twice"
deed goodbyes "it says goodbye for others, and hands over what is theirs"
deed lists "it sends the longest lists of what nobody has"
deed claims "it claims others' places, and answers what nobody asked"
deed deaths "it says of all that they are dead"
check "what it wrote stands" test "$(ask get "$(ask put thing | jq -r .service)" | jq .sequence)" = 2
ask immortal >/dev/null
within 5 "its incarnation is the greatest that there is" agents_see 4
stranger_kill
within 5 "it is seen to be gone all the same" agents_see 3
within 5 "and the ring is ideal without it" is_ideal 1 2 3
for i in 1 2 3; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
