#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Before a machine sleeps or is switched off logind waits, and its replicas run elsewhere. logind is
# played, on a bus of the test's own.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
[ -x /usr/bin/dbus-daemon ] || { echo "# not run: dbus-daemon is not installed"; exit 0; }

node_config() {
    echo 'contribute: {cpu: "1.0", memory: 256M, disk: 256M, storage: 256M, keep_free: 0%, pids: 256}'
    echo 'user: daemon' # a bus turns away who is not in passwd
}
PLAYER=$BIN/system_logind_player # before the programs are put where mingad's user may start them
community_new 4

# --- a bus, and who plays logind on it, for node 1
cat >"$WORK/bus.conf" <<CONF
<busconfig><type>session</type><listen>unix:path=$WORK/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
CONF
/usr/bin/dbus-daemon --config-file="$WORK/bus.conf" --nofork 2>"$WORK/bus.log" &
bus_pid=$!
mkfifo "$WORK/logind"
start_logind() {
    DBUS_SYSTEM_BUS_ADDRESS=unix:path=$WORK/bus "$PLAYER" <"$WORK/logind" >>"$WORK/said" &
    logind_pid=$!
    exec 8>"$WORK/logind"
}
end_all() {
    kill "$logind_pid" "$bus_pid" 2>/dev/null || true
    community_end
}
logind_pid=
trap end_all EXIT
wait_until 5 test -S "$WORK/bus"
chmod 666 "$WORK/bus"
: >"$WORK/said"
start_logind
logind() { echo "$1" >&8; }
said() { [ "$(tail -n 1 "$WORK/said" | cut -d ' ' -f 2-)" = "$1" ]; }
AGENT_PREFIX[1]="env DBUS_SYSTEM_BUS_ADDRESS=unix:path=$WORK/bus"
for i in 2 3 4; do AGENT_PREFIX[$i]="env DBUS_SYSTEM_BUS_ADDRESS=unix:path=$WORK/no-bus"; done
for i in 1 2 3 4; do node_start "$i"; done
within 5 "mingad takes two locks, one for each" said "locked 2"
check "without a bus that is said once in the log" eval '[ "$(grep -c "no lock against sleep" "$(dir_of 2)/log")" = 1 ]'
community_form

root=$WORK/bundle
mkdir -p "$root/bin"
cp /bin/busybox "$root/bin/"
cat >"$root/service.yaml" <<MANIFEST
name: clock
command: [/bin/busybox, sleep, "100000"]
replicas: 3
resources: {cpu: 0.1, memory: 16M, disk: 16M, pids: 8}
MANIFEST
minga 2 push "$root" >/dev/null
minga 2 start clock --wait=60s
here_runs() { minga 2 --json status clock | jq -e '[.services[0].replicas[] | select(.node_name == "oak" and .state == "running")] | length > 0' >/dev/null; }
state_is() { [ "$(minga 1 --json node | jq -r .state)" = "$1" ]; }
rule_is() { [ "$(minga 1 --json node | jq -r .rule)" = "$1" ]; }
# One of four nodes has none: if that is node 1, another one makes it take one.
if ! here_runs; then
    minga 3 node drain >/dev/null
    wait_until 60 here_runs
    minga 3 node resume >/dev/null
    wait_until 60 has_running 2 clock 3
fi
check "a replica runs on the machine that is about to sleep" here_runs

started=$(now_ms)
logind sleep
within 1 "minga node says why it hands over" rule_is "sleep or shutdown"
within 5 "the machine is let go" said "released 0"
took=$(($(tail -n 1 "$WORK/said" | cut -d ' ' -f 1) - started))
check "within logind's 5 s ($took ms)" [ "$took" -lt 5000 ]
check "by then nothing runs on it any more" eval '! here_runs'
check "and all replicas run elsewhere" has_running 2 clock 3
logind wake
within 2 "awake, it takes them again" said "locked 2"
within 2 "and takes replicas again" state_is ready

logind shutdown
within 5 "a shutdown is waited for, too" said "released 0"
logind stay
within 2 "called off, all is as before" said "locked 2"

kill "$logind_pid"
wait "$logind_pid" 2>/dev/null || true
exec 8>&-
: >"$WORK/said"
start_logind
within 5 "a logind that is started again gives new locks" said "locked 2"
agent_kill 1
within 5 "a mingad that dies holds nothing up" said "released 0"
