#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The owner's word: pause, resume and drain, rules on battery, use, heat and programs, and a
# reload; measured from outside, by what the kernel counts.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

RULES='
rules:
  - {name: on the road, when: {on_battery: true}, then: {replicas: freeze}}
  - {name: typing, when: {in_use: 1h}, then: {cpu: 0.05, upload: 100K}}
  - {name: hot, when: {hotter_than: 80}, then: {replicas: keep}}
  - {name: games, when: {programs: [supergame]}, then: {replicas: freeze}}'
node_config() {
    cat <<CONFIG
contribute: {cpu: "1.0", memory: 512M, disk: 512M, storage: 512M, keep_free: 0%, pids: 512}$([ "$1" != 1 ] || echo "$RULES")
CONFIG
}

community_new 3
SENSES=$WORK/senses
put() {
    mkdir -p "$(dirname "$SENSES$1")"
    printf '%s\n' "$2" >"$SENSES$1"
}
mains() { put /sys/class/power_supply/BAT0/status "$1"; }
put /sys/class/power_supply/BAT0/type Battery
put /sys/class/power_supply/BAT0/capacity 50
put /sys/class/thermal/thermal_zone0/temp 40000
put /proc/1/comm init
mains Charging
AGENT_OPTIONS[1]="--senses $SENSES"
community_start

root=$WORK/bundle
mkdir -p "$root/bin"
cp /bin/busybox "$root/bin/"
ln -sf busybox "$root/bin/sh"
printf '#!/bin/sh\nwhile :; do :; done\n' >"$root/run"
chmod 755 "$root/run"
cat >"$root/service.yaml" <<MANIFEST
name: burner
command: [/bin/sh, /run]
replicas: 3
resources: {cpu: 0.3, memory: 32M, disk: 16M, pids: 16}
MANIFEST
minga 1 push "$root" >/dev/null
minga 1 start burner --wait=60s || fail "start"

cpu_ns() { cat "/sys/fs/cgroup/cpuacct/$(cgroup_of "$1")/cpuacct.usage" 2>/dev/null ||
    awk '/usage_usec/ {print $2 * 1000}' "/sys/fs/cgroup/$(cgroup_of "$1")/cpu.stat"; }
# burns I MS: how many ms of CPU does node I's community take within so many?
burns() {
    local before
    before=$(cpu_ns "$1")
    sleep "$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))"
    echo $((($(cpu_ns "$1") - before) / 1000000))
}
is_still() { [ "$(burns "$1" 500)" -le 10 ]; }
is_busy() { [ "$(burns "$1" 500)" -ge 60 ]; }
state_is() { [ "$(minga "$1" --json node | jq -r .state)" = "$2" ]; }
rule_is() { [ "$(minga "$1" --json node | jq -r .rule)" = "$2" ]; }
here_count() { [ "$(minga "$1" --json node | jq '[.replicas[] | select(.state == "running")] | length')" = "$2" ]; }

within 10 "a replica burns on each node" is_busy 1

# --- pause now, with nobody else to be reached
cable_cut 1
minga 1 node pause --now 1h >/dev/null
sleep 1
used=$(burns 1 2000)
if [ "$used" -le 5 ]; then pass "a second after pause --now, cut off, $used ms of 2 s are used"; else fail "after pause --now $used ms of 2 s are used"; fi
check "the pause is named" rule_is 1 "node pause"
check "and when it ends" eval '[ "$(minga 1 --json node | jq -r .rule_until)" != null ]'
check "the log says why nothing runs, and of which community this is" eval 'grep -q "node pause: all that runs here is frozen" "$(dir_of 1)/log" && grep -q "belongs to the community" "$(dir_of 1)/log"'
cable_back 1
kill -USR2 "${AGENT_PID[1]}"
wait "${AGENT_PID[1]}" || true
unset "AGENT_PID[1]"
node_start 1
within 2 "it outlives a restart of mingad" state_is 1 paused
stays 2 "nothing runs here after the restart" is_still 1
within 10 "the members see each other again" sees_members 1 3
minga 1 node resume >/dev/null
within 20 "after resume it burns again" is_busy 1
within 20 "three run again" has_running 2 burner 3

# --- a helper that stands still freezes nothing, and nobody says that it did
within 10 "it burns here" is_busy 1
helper=$(helper_pids 1)
kill -STOP "$helper"
said=0
minga 1 node pause --now >"$WORK/said" 2>&1 || said=$?
check "while minga-sandboxd stands still, pause --now is not called done" [ "$said" = 5 ]
check "it is said that what runs here is not frozen" grep -q "what runs here is not frozen yet" "$WORK/said"
check "the node is not called paused" state_is 1 pausing
kill -CONT "$helper"
within 2 "it is when minga-sandboxd goes on" state_is 1 paused
check "and all stands still" is_still 1
check "who asks again is told so at once" minga 1 node pause --now
minga 1 node resume >/dev/null
within 20 "after that resume, too, it burns again" is_busy 1
within 20 "three run again then" has_running 2 burner 3

# --- a pause hands over first
minga 2 scale burner 2 --wait=20s || fail scale
holder=$(number_of_name "$(nodes_of 2 burner | grep -v "$(name_of 1)" | head -n 1)")
minga "$holder" node pause >/dev/null
# Asked of each node, since the manager shows the new one of a slot while the old one still runs.
run_everywhere() {
    local i sum=0
    for i in 1 2 3; do
        sum=$((sum + $(minga "$i" --json node | jq '[.replicas[] | select(.state == "running")] | length')))
    done
    echo "$sum"
}
lost=0
for _ in $(seq 30); do
    [ "$(run_everywhere)" -ge 2 ] || lost=$((lost + 1))
    sleep 0.1
done
if [ "$lost" = 0 ]; then pass "while a pause hands over, two run all the time"; else fail "while a pause hands over, two did not run in $lost of 30 looks"; fi
within 20 "then nothing runs on the paused node" here_count "$holder" 0
check "the history names what ran there" eval '[ "$(minga "$holder" --json node history | jq -r ".history[0].id")" != null ]'
minga "$holder" node resume >/dev/null
minga 2 scale burner 3 --wait=30s || fail scale
within 20 "three run" has_running 2 burner 3

# --- rules
within 20 "node 1 burns" is_busy 1
mains Discharging
within 5 "on battery nothing runs" is_still 1
check "the rule is named" rule_is 1 "on the road"
check "and in the log, before what it froze" eval 'grep -A1 "on the road: all that runs here is frozen" "$(dir_of 1)/log" | grep "is frozen$"'
mains Charging
mkdir -p "$SENSES/dev/pts"
touch "$SENSES/dev/pts/0"
within 5 "a rule beside the strictest is named, with what it lowers" eval 'rule_is 1 "on the road" && minga 1 node | grep -A1 "ALSO *LOWERS" | grep "typing *cpu, upload"'
within 80 "a minute after the mains are back, the next rule is named" rule_is 1 "typing"
used=$(burns 1 4000)
if [ "$used" -ge 20 ] && [ "$used" -le 300 ]; then pass "while somebody types $used ms of 4 s are used (a twentieth of a core)"; else fail "while somebody types $used ms of 4 s are used"; fi
touch -a -d '2 hours ago' "$SENSES/dev/pts/0"
sed -i 's/in_use: 1h/in_use: 2s/' "$(dir_of 1)/minga.yaml"
reload() {
    "$BIN/mingad" --config "$(dir_of 1)/minga.yaml" --write-limits
    kill -HUP "${AGENT_PID[1]}"
}
reload
within 10 "after a reload with a shorter time nobody types, and it is as before" eval 'rule_is 1 ""; is_busy 1'
put /sys/class/thermal/thermal_zone0/temp 90000
within 10 "when it is hot nothing new is taken" state_is 1 keeping
check "what runs goes on" is_busy 1
put /proc/77/comm supergame
within 5 "a game freezes everything" is_still 1
rm -r "$SENSES/proc/77"
put /sys/class/thermal/thermal_zone0/temp 40000
within 80 "and a minute later it is as before" state_is 1 ready

# --- a reload that gives less, and one that is refused
within 20 "three run again" has_running 2 burner 3
minga 2 scale burner 2 --wait=20s || fail scale
sed -i 's/memory: 512M/memory: 16M/' "$(dir_of 1)/minga.yaml"
reload
within 80 "what does not fit is gone after a reload" here_count 1 0
within 20 "two run elsewhere" has_running 2 burner 2
within 5 "the kernel holds the smaller contribution" eval '[ "$(cat /sys/fs/cgroup/memory/$(cgroup_of 1)/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/$(cgroup_of 1)/memory.max)" = $((16 << 20)) ]'
sed -i 's/memory: 16M/memory: 512M/; s/cgroup: .*/cgroup: another/' "$(dir_of 1)/minga.yaml"
kill -HUP "${AGENT_PID[1]}"
within 5 "what needs a restart is named in the log" grep -q "cgroup: needs a restart" "$(dir_of 1)/log"
chmod o+w "$(dir_of 1)/minga.yaml"
kill -HUP "${AGENT_PID[1]}"
within 5 "a file that others can write to is refused by name" grep -q "stays as it was: .*minga.yaml: others can write" "$(dir_of 1)/log"
refused 1 "minga.yaml" "also by --check-config" "$BIN/mingad" --config "$(dir_of 1)/minga.yaml" --check-config

# --- leaving, with time to hand over
chmod o-w "$(dir_of 1)/minga.yaml"
sed -i "s/cgroup: another/cgroup: $(cgroup_of 1)/" "$(dir_of 1)/minga.yaml"
reload
within 20 "node 1 gives as much as before" eval '[ "$(minga 1 --json node | jq .contribution.memory_bytes)" = $((512 << 20)) ]'
refused 2 "not a duration" "leave --within wants a time" minga 3 leave --yes --within soon
check "leaving hands over first" minga 3 leave --yes --within 20s
within 10 "and two run without it" has_running 1 burner 2
has_running 1 burner 2 || { minga 1 status burner; minga 1 node; minga 2 node; tail -n 20 "$(dir_of 1)/log"; } >&2
check "it is in no community any more" eval '[ "$(minga 3 --json node | jq -r .community)" = null ]'
minga 2 leave --yes >"$WORK/said" &
leaving=$!
sleep 0.3 # it hands over meanwhile
node_stop 2
if wait "$leaving"; then pass "a node that is told to end while it leaves has left"; else fail "a node that is told to end while it leaves has left"; fi
node_start 2
check "and is in no community at its next start" eval '[ "$(minga 2 --json node | jq -r .community)" = null ]'

# --- a copied disk
node_stop 3
printf 'sixteen other by' >"$(dir_of 3)/state/agent/machine"
timeout 10 "$BIN/mingad" --config "$(dir_of 3)/minga.yaml" >"$WORK/refusal" 2>&1 || true
check "state of another machine is refused, with what to do" \
    grep -q "another machine.*mingad --renew-state" "$WORK/refusal"
check "it is renewed" "$BIN/mingad" --config "$(dir_of 3)/minga.yaml" --renew-state
node_start 3
check "and is another node then" eval '[ "$(minga 3 --json node | jq -r .community)" = null ]'
