#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What an agent has acknowledged is there after SIGKILL at any moment, after calls of the disk that fail, and
# with a damaged, newer, read-only or full database it starts, or says in one line what to do. KILLS says how
# often; POINTS=all fails every call, else some of them; SEED repeats a run; ONLY=kills ends behind those.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
kills=${KILLS:-100}
RANDOM=${SEED:-$$}
echo "# SEED=${SEED:-$$}"
PROBE=$BIN/bench_overlay_probe
FAULTS=$(realpath "$BIN/../tests/faults/libminga_faults.so")

node_config() {
    cat <<CONFIG
roles: [store]
contribute: {cpu: "0.1", memory: 64M, disk: 16M, storage: 64M, keep_free: 0%, pids: 16}
CONFIG
}
pause_ms() { sleep "$(printf '0.%03d' $((RANDOM % $1)))"; }
# list I...: those are asked by the probe.
list() { for i in "$@"; do echo "$i ${AGENT_PID[$i]:-1} $(socket_of "$i")"; done >"$WORK/list"; }
# One writer for each agent of the list.
writer_start() {
    local line i=0
    writers=()
    while read -r line; do
        i=$((i + 1))
        echo "$line" >"$WORK/list-$i"
        "$PROBE" "$WORK/list-$i" write "$WORK/home/.config/minga/owner.key" >>"$WORK/acknowledged" 2>"$WORK/writer-log" &
        writers+=($!)
    done <"$WORK/list"
}
writers=()
writer_stop() {
    [ "${#writers[@]}" != 0 ] || return 0 # without a name `wait` waits for all, also the agents
    kill "${writers[@]}" 2>/dev/null || true
    wait "${writers[@]}" 2>/dev/null || true
    writers=()
}
# all_there I...: every acknowledged record is found; the rest of a line that was being written does not count.
all_there() {
    list "$@"
    awk '/^[0-9a-f]+ [0-9]+$/ && length($1) == 64 && $2 > newest[$1] {newest[$1] = $2}
        END {for (id in newest) print id, newest[id]}' "$WORK/acknowledged" >"$WORK/ids"
    "$PROBE" "$WORK/list" check "$WORK/ids" 20 >"$WORK/figures"
    [ "$(awk '$1 == "missed" {print $2}' "$WORK/figures")" = 0 ]
}
acknowledged() { grep -cE '^[0-9a-f]{64} [0-9]+$' "$WORK/acknowledged" || true; }
# A bundle with something new in it, again and again; prints the numbers of those that were acknowledged.
push_for_ever() {
    local n=0 folder
    trap - EXIT
    while :; do
        n=$((n + 1))
        folder=$WORK/box-$n
        mkdir "$folder"
        cp /bin/busybox "$folder/box"
        head -c 50000 /dev/urandom >"$folder/data"
        printf 'name: box%d\ncommand: [/box, sleep, "9"]\n' "$n" >"$folder/service.yaml"
        ! minga $((n % 3 + 1)) push "$folder" >/dev/null 2>&1 || echo "$n"
        sleep 0.5
    done >>"$WORK/pushed"
}
# All chunks of what was pushed have a holder: pushed once more, nothing of it is new to anybody.
all_chunks_there() {
    local n new
    while read -r n; do
        new=$(minga $((n % 3 + 1)) push "$WORK/box-$n" --json | jq .new_bytes)
        [ "$new" = 0 ] || { say "box$n: $new bytes are gone" && return 1; }
    done < <(shuf -n 40 --random-source="$WORK/pushed" "$WORK/pushed")
}
slowest_ms=0
# start_timed I: starts it, and fails when it does not answer within 10 s.
start_timed() {
    local started took
    started=$(now_ms)
    node_launch "$1"
    wait_until 60 minga "$1" node || {
        fail "agent $1 does not start: $(tail -n 2 "$(dir_of "$1")/log")"
        return
    }
    took=$(($(now_ms) - started))
    [ "$took" -le "$slowest_ms" ] || slowest_ms=$took
}

community_new 4
AT_END=writer_stop
for i in 1 2 3; do node_start "$i"; done
NODE_COUNT=3 community_form
touch "$WORK/acknowledged"

# --- two machines with one key want different things at the same moment
"$here/../fixtures/make_web.sh" "$WORK/web.tar.gz"
minga 1 push "$WORK/web.tar.gz" >/dev/null
collisions=0 wrong=0
for ((round = 1; round <= 12; round++)); do
    minga 1 scale web $((round % 5 + 2)) >"$WORK/one" 2>&1 & one=$!
    minga 2 scale web $((round % 5 + 8)) >"$WORK/two" 2>&1 & two=$!
    one_status=0 two_status=0
    wait "$one" || one_status=$?
    wait "$two" || two_status=$?
    for said in one two; do
        status=${said}_status
        [ "${!status}" != 0 ] || continue
        collisions=$((collisions + 1))
        grep -q "^minga: .*\(at the same moment\|another write came first\)" "$WORK/$said" || {
            wrong=$((wrong + 1))
            cat "$WORK/$said"
        }
    done
    [ "$one_status" = 0 ] || [ "$two_status" = 0 ] || wrong=$((wrong + 1))
done
check "of two changes at the same moment one is refused, clearly ($collisions times in 12)" test "$wrong" = 0

# --- SIGKILL at random moments of writing
list 1 2 3
writer_start
push_for_ever & pusher=$!
has_grown() { [ "$(acknowledged)" -gt "$before" ]; }
for ((round = 1; round <= kills; round++)); do
    # Most are killed while they write, every fourth before it has come to that.
    before=$(acknowledged)
    [ $((round % 4)) = 0 ] || wait_until 5 has_grown || true
    pause_ms 150
    victims=$((RANDOM % 3 + 1))
    [ $((round % 5)) != 0 ] || victims="1 2 3"
    for i in $victims; do kill -KILL "${AGENT_PID[$i]}" 2>/dev/null || true; done
    for i in $victims; do agent_kill "$i"; done
    for i in $victims; do start_timed "$i"; done
done
wait_until 10 sees_members 1 3 || true
sleep 1
writer_stop
kill "$pusher"
wait "$pusher" || true
echo "# $kills kills, $(acknowledged) writes and $(wc -l <"$WORK/pushed") bundles acknowledged, the slowest start took $slowest_ms ms"
check "every start after a kill answers within 2 s" test "$slowest_ms" -le $((2000 * ${PATIENCE:-3}))
check "something was written meanwhile" test "$(acknowledged)" -gt "$kills"
check "bundles were pushed meanwhile" test -s "$WORK/pushed"
check "all that was acknowledged is there" all_there 1 2 3
check "... and every chunk of what was pushed" all_chunks_there
for i in 1 2 3; do kill -KILL "${AGENT_PID[$i]}" && agent_kill "$i"; done
for i in 1 2 3; do start_timed "$i"; done
within 10 "all are together again" sees_members 1 3
check "... also after all were killed at once" all_there 1 2 3
check "... and the chunks" all_chunks_there
check "no database was damaged" eval '! grep -h "is damaged\|was damaged" "$WORK"/n?/log'
[ "${ONLY:-}" != kills ] || exit 0

# --- calls that fail, in an agent alone
for i in 1 2 3; do node_stop "$i"; done
node_start 4
minga 4 community create alone >/dev/null
: >"$WORK/acknowledged"
agent_kill 4
state=$(realpath "$(dir_of 4)/state")
one_point() { # KIND AT: true when it has happened, and all is well
    rm -f "$WORK/mark/at" "$state"/agent/chunks/*
    AGENT_PREFIX[4]="env LD_PRELOAD=$FAULTS MINGA_FAULT_FOLDER=$state MINGA_FAULT_MARK=$WORK/mark/at"
    : >"$(dir_of 4)/log"
    MINGA_FAULT="$1 $2" node_launch 4
    list 4
    if wait_until 2 minga 4 node; then
        writer_start
        sleep 0.25
        writer_stop
        [ "$1" != rename ] || minga 4 push "$WORK/web.tar.gz" >/dev/null 2>&1 || true # chunks
    elif ! tail -n 1 "$(dir_of 4)/log" | grep -q "^.*/.*: [A-Z].* \|Too many\|No space\|Input/output"; then
        fail "$1 $2: it does not start, and says nothing: $(tail -n 2 "$(dir_of 4)/log")"
    fi
    kill -KILL "${AGENT_PID[4]}" 2>/dev/null || true
    agent_kill 4
    AGENT_PREFIX[4]=
    start_timed 4
    all_there 4 || fail "$1 $2: something acknowledged is gone ($(tr '\n' ' ' <"$WORK/figures"))"
    agent_kill 4
    [ -e "$WORK/mark/at" ]
}
mkdir -m 777 "$WORK/mark"
for kind in open write sync rename; do
    at=1 count=0
    while [ "$at" -lt 400 ] && one_point "$kind" "$at"; do
        count=$((count + 1))
        [ "${POINTS:-some}" = all ] && at=$((at + 1)) || at=$((at + at / 2 + 1))
    done
    check "$count points where $kind fails: nothing acknowledged is lost, the next start is clean" test "$count" -gt 0
done
echo "# $(acknowledged) writes acknowledged, the slowest start took $slowest_ms ms"

# --- a database that something else has changed
database=$state/agent/minga.db
start_timed 4
writer_start
sleep 1
writer_stop
node_stop 4
cp "$database" "$WORK/whole.db"
put_byte() { printf '%b' "$2" | dd of="$database" bs=1 seek="$1" conv=notrunc status=none; }
says() { grep -q "$1" "$(dir_of 4)/log"; }
# refuses TEXT SENTENCE: it ends, with one error.
refuses() {
    : >"$(dir_of 4)/log"
    node_launch 4
    within 5 "$2" is_gone "${AGENT_PID[4]}"
    check "... and says so" says "$1"
    agent_kill 4
}
: >"$(dir_of 4)/log"
dd if=/dev/urandom of="$database" bs=4096 seek=5 count=1 conv=notrunc status=none
start_timed 4
check "a damaged page is mended and said" grep -q "was damaged" "$(dir_of 4)/log"
check "the damaged file is kept" test -s "$database.damaged"
node_stop 4
cp "$WORK/whole.db" "$database"
rm -f "$database-wal"
put_byte 63 '\0143'
refuses "newer mingad" "a newer version is refused"
cp "$WORK/whole.db" "$database"
dd if=/dev/zero of="$database" bs=100 count=1 conv=notrunc status=none
refuses "is damaged" "a file that is no database is refused"
check "... with what to do" grep -q "move the file away" "$(dir_of 4)/log"
cp "$WORK/whole.db" "$database"
start_timed 4
check "the whole one is taken again" all_there 4
node_stop 4

# --- a log that is damaged before its end: what was durable may be gone, also from whom an arc was granted until when
start_timed 4
epoch_before=$(minga 4 --json ring | jq .epoch)
cp "$WORK/acknowledged" "$WORK/acknowledged-before" # what follows is lost
writer_start
sleep 1
writer_stop
kill -KILL "${AGENT_PID[4]}"
agent_kill 4
: >"$(dir_of 4)/log"
# behind the log's header (32 bytes) and its first frame's (24)
dd if=/dev/urandom of="$database-wal" bs=1 seek=$((32 + 24 + 100)) count=8 conv=notrunc status=none
start_timed 4
check "damage in the log, with commits behind it, is said" says "last commits"
check "... and epochs that it may have had before are not used again" \
    test "$(minga 4 --json ring | jq .epoch)" -gt $((epoch_before + 2000))
node_stop 4
mv "$WORK/acknowledged-before" "$WORK/acknowledged"

# --- read-only and full
mv "$state" "$WORK/saved"
node_disk 4 96m
cp -a "$WORK/saved/." "$state/"
mount -o remount,ro "$state"
refuses "[Rr]ead-only" "a read-only file system is refused"
mount -o remount,rw "$state"
: >"$(dir_of 4)/log"
start_timed 4
list 4
dd if=/dev/zero of="$state/ballast" bs=64k status=none 2>/dev/null || true
writer_start
sleep 1
writer_stop
check "on a full disk it lives on" minga 4 node
check "... and all that it has acknowledged is there" all_there 4
kill -KILL "${AGENT_PID[4]}"
agent_kill 4
start_timed 4
check "... also after a kill and a start" all_there 4
rm "$state/ballast"
sleep 1.5
before=$(acknowledged)
writer_start
within 10 "with room again it takes writes" has_grown
writer_stop
check "... and keeps them" all_there 4
node_stop 4
