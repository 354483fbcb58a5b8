#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Looking on: `minga events` says what happens, once and in order, through deaths and restarts of
# agents too; --watch refreshes in place; `minga metrics` is what Prometheus reads.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

packages_need python3-prometheus-client 2>/dev/null || true

community_new 3
community_start

events=$WORK/events lines=$WORK/lines
# Not the function minga: the pid must be the command's own, not that of a shell around it.
HOME=$WORK/home "$BIN/minga" --socket "$(socket_of 1)" --json events >"$events" 2>"$WORK/err" &
watcher=$!
HOME=$WORK/home "$BIN/minga" --socket "$(socket_of 1)" events >"$lines" 2>/dev/null &
watcher_lines=$!
watchers=("$watcher" "$watcher_lines")
# shellcheck disable=SC2317 # by the trap
watchers_end() { kill "${watchers[@]}" 2>/dev/null || true; }
AT_END=watchers_end
sleep 1.5
# told EVENT [SUBJECT [TEXT]]: how often?
told() {
    jq -s --arg event "$1" --arg subject "${2:-}" --arg text "${3:-}" \
        '[.[] | select(.event == $event and ($subject == "" or .subject == $subject)
          and (.detail | contains($text)))] | length' "$events"
}
is_told() { [ "$(told "$@")" = 1 ]; }

check "nothing is told while nothing happens" [ ! -s "$events" ]
root=$WORK/tree
mkdir -p "$root/bin"
cp /bin/busybox "$root/bin/"
printf '%s\n' 'name: clock' 'command: [/bin/busybox, sleep, "600"]' 'replicas: 2' \
    'resources: {cpu: 0.1, memory: 16M, disk: 8M, pids: 8}' >"$root/service.yaml"
minga 2 push "$root" >/dev/null
within 5 "a push is told by whoever looks" is_told service.registered clock "version 1"
minga 2 start clock --wait=20s >/dev/null
within 5 "a start is told" is_told service.active clock 2/2
within 5 "and the first replica, with its node" is_told replica.running clock/1 "on "
within 5 "and the second" is_told replica.running clock/2 "on "
minga 2 scale clock 1 --wait=20s >/dev/null
within 5 "a change of their number is told" is_told service.scaled clock "wanted 1, was 2"
HOME=$WORK/home "$BIN/minga" --socket "$(socket_of 2)" events clock >"$WORK/clock" 2>/dev/null &
watcher_clock=$!
watchers+=("$watcher_clock")
sleep 3 # it has had its first look

host=$(number_of_name "$(nodes_of 2 clock | head -1)")
# shellcheck disable=SC2046
kill_pids KILL $(pids_in_cgroup "$host" | while read -r pid; do
    grep -qz '^600$' "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
done)
within 10 "a process that is killed is told as a restart, with the reason" \
    is_told replica.restarted clock/1 "signal 9"

agent_kill 1
within 10 "an agent that is away is told once" is_told agent.lost
node_start 1
within 10 "and that it is back" is_told agent.back
node_kill 3
within 20 "a dead machine is told" is_told node.down "$(name_of 3)"
node_start 3
within 20 "and its return" is_told node.up "$(name_of 3)"
within 10 "the service is whole again" has_running 2 clock 1
minga 2 stop clock --wait=20s >/dev/null
within 5 "a stop is told" is_told service.off clock
minga 2 rm clock --yes --wait=20s >/dev/null
within 5 "a removal is told" is_told service.removed clock
check "each line is one object of the documented form" eval \
    'jq -se "all(has(\"at\") and has(\"event\") and has(\"subject\") and has(\"detail\") and has(\"id\"))" "$events"'
check "for people a line has time, event, subject and detail" \
    grep -Eq '^20[0-9-]+T[0-9:]+Z  service\.registered +clock +version 1' "$lines"
check "a service's own events are told: $(awk '{ print $2 }' "$WORK/clock" | sort -u | tr '\n' ' ')" \
    grep -Eq "replica\.(restarted|waiting)" "$WORK/clock" # it may look while the next one is being waited for
check "and those of that service alone" eval '! grep -q " node\." "$WORK/clock"'
within 5 "they end when it is removed" is_gone "$watcher_clock"
refused 4 "" "events of no service: status 4" minga 1 events nothing
watchers_end

# --- in place, on a terminal of 12 rows
screen=$WORK/screen
# shellcheck disable=SC2016 # expanded by the shell inside
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home MINGA=$BIN/minga TERM=xterm timeout 4 script -qefc \
    'stty rows 12 cols 60; exec "$MINGA" node --watch' "$screen" >/dev/null 2>&1 </dev/null || true
check "--watch draws over what it has drawn" eval '[ "$(grep -c "$(printf "\033\\[HNODE")" "$screen")" -ge 2 ]'
check "and never clears the whole window in between" eval '! grep -q "$(printf "\033\\[2J")" "$screen"'
# shellcheck disable=SC2016 # expanded by the shell inside
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home MINGA=$BIN/minga TERM=dumb timeout 4 script -qefc \
    'stty rows 12 cols 60; "$MINGA" nodes; exec "$MINGA" node --watch' "$WORK/dumb" >/dev/null 2>&1 </dev/null || true
check "a terminal that understands no escape sequences gets none" eval \
    '[ "$(grep -c "^NODE" "$WORK/dumb")" -ge 3 ] && ! grep -q "$(printf "\033")" "$WORK/dumb"'
minga 1 node pause --now >/dev/null
# shellcheck disable=SC2016
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home MINGA=$BIN/minga TERM=xterm timeout 4 script -qefc \
    'stty rows 10 cols 40; for what in node nodes status ring members; do "$MINGA" $what; done' "$WORK/narrow" >/dev/null 2>&1 </dev/null || true
plain() { grep -v "^Script" "$WORK/narrow" | tr -d "\r" | sed "s/\x1b\[[0-9]*m//g"; }
check "tables fit a window of 40 columns" eval '[ "$(plain | wc -L)" -le 40 ]'
check "and say there what matters: the rule that acts in whole" eval 'plain | grep -Eq "^oak .*paused +node pause"'
check "and whom the ring has beside it" eval 'plain | grep -Eq "^predecessor  (elm|ash) \("'
minga 1 node resume >/dev/null
# shellcheck disable=SC2016
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home MINGA=$BIN/minga TERM=xterm timeout 4 script -qefc \
    '"$MINGA" status' "$WORK/none" >/dev/null 2>&1 </dev/null || true
check "who has no services is told what makes one" grep -q "no services yet: minga push" "$WORK/none"
check "who reads it by a program is not" is_empty eval 'minga 1 status 2>&1 | tail -n +2'
count_of_json() { MINGA_SOCKET=$(socket_of 1) timeout 3 "$BIN/minga" --json node --watch | wc -l; }
check "with --json it is one document a line" eval '[ "$(count_of_json)" -ge 2 ]'

# --- an agent that is away while somebody watches; "|| true": the time-out ends it
screen=$WORK/away
# shellcheck disable=SC2016 # expanded by the shell inside
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home MINGA=$BIN/minga TERM=xterm timeout 60 script -qefc \
    'stty rows 12 cols 40; exec "$MINGA" node --watch' "$screen" >/dev/null 2>&1 </dev/null &
watcher=$!
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home "$BIN/minga" node --watch >"$WORK/piped" 2>"$WORK/piped.err" </dev/null &
watcher_lines=$!
MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home "$BIN/minga" --json status --watch >"$WORK/json" 2>/dev/null </dev/null &
watchers=("$watcher" "$watcher_lines" $!)
frames() { tr -d '\r' <"$screen" | grep -c "$(printf '\033\[H')$1"; }
has_frames() { [ "$(frames "$1")" -gt "$2" ]; }
json_lines() { wc -l <"$WORK/json"; }
has_json() { [ "$(json_lines)" -gt "$1" ]; }
within 5 "a watched agent is shown" has_frames NODE 1
within 5 "and in a pipe" grep -q "^NODE" "$WORK/piped"
within 5 "and as JSON" has_json 0
agent_kill 1
within 5 "an agent that dies while it is watched is said to be away, in place" \
    has_frames "NO ANSWER since [0-9:]*, shown as then:" 1
check "above what it said last" eval 'tr -d "\r" <"$screen" | grep -A 1 "NO ANSWER" | grep -q "^NODE"'
check "in a line that fits the window" eval \
    '[ "$(tr -d "\r" <"$screen" | sed "s/\x1b\[[0-9;]*[A-Za-z]//g" | grep "NO ANSWER" | wc -L)" -le 40 ]'
within 5 "in a pipe it is said on stderr" grep -q "^no answer: nothing answers at " "$WORK/piped.err"
frames_before=$(frames NODE) json_before=$(json_lines)
node_start 1
within 10 "when the agent is back watching goes on" has_frames NODE "$frames_before"
within 5 "in a pipe, too" grep -q "^answers again" "$WORK/piped.err"
within 5 "and as JSON" has_json "$json_before"
check "what was said once is not said again and again" eval '[ "$(wc -l <"$WORK/piped.err")" = 2 ]'
frames_before=$(frames "NO ANSWER")
kill -STOP "${AGENT_PID[1]}"
within 20 "an agent that hangs is said to be away, too" has_frames "NO ANSWER" "$frames_before"
kill -CONT "${AGENT_PID[1]}"
watchers_end
refused 3 "no agent" "an agent that was never there is not waited for" \
    minga 1 --socket "$WORK/nobody" node --watch
within 10 "all are up again" sees_members 2 3

# --- metrics
cat >"$WORK/read.py" <<'PYTHON'
import sys
from prometheus_client.parser import text_string_to_metric_families
families = {f.name: f for f in text_string_to_metric_families(sys.stdin.read())}
assert all(f.documentation and f.type in ("gauge", "counter") for f in families.values())
up = [s.value for s in families["minga_members"].samples if s.labels["state"] == "up"]
assert up == [3.0], up
assert families["minga_given_memory_bytes"].samples[0].value == 512 * 1048576
assert families["minga_messages_sent"].samples[0].value > 0
assert families["minga_ring_answers"].samples[0].value == 1
print(len(families))
PYTHON
if /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null; then
    within 10 "Prometheus' own parser reads the metrics, and they are right" eval \
        'minga 1 metrics | /usr/bin/python3 "$WORK/read.py"'
else
    echo "# not run: Prometheus' parser: python3-prometheus-client cannot be installed"
fi
check "the agent answers a scrape itself" eval \
    'curl -sf --unix-socket "$(socket_of 2)" http://minga/v1/metrics | grep "^minga_given_cpu_cores 1.000$"'
refused 2 "form of their own" "metrics are not JSON" minga 1 --json metrics
