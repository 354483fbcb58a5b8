#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# minga.yaml changes while replicas run: ports, egress, roles and storage take effect on SIGHUP, and
# what no longer fits is elsewhere before it goes.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

node_network() { echo ", ports: 31000-31099, egress: deny"; }
node_config() {
    cat <<CONFIG
contribute: {cpu: "1.0", memory: 512M, disk: 512M, storage: 64M, keep_free: 0%, pids: 512}
roles: [run, store, manage]
CONFIG
}
packages_need passt
community_new 4
community_start

change() { # change I SED: as `systemctl reload mingad` does it
    sed -i "$2" "$(dir_of "$1")/minga.yaml"
    "$BIN/mingad" --config "$(dir_of "$1")/minga.yaml" --write-limits
    kill -HUP "${AGENT_PID[$1]}"
}
here_count() { [ "$(minga "$1" --json node | jq '[.replicas[] | select(.state == "running")] | length')" = "$2" ]; }
runs_on() { nodes_of 4 "$1" | grep -qx "$(name_of "$2")"; }
bundle() { # bundle NAME REPLICAS MIB LINE...
    mkdir -p "$WORK/$1/bin"
    cp /bin/busybox "$WORK/$1/bin/sh"
    head -c "$(($3 * 1048576))" /dev/urandom >"$WORK/$1/data"
    printf 'name: %s\ncommand: [/bin/sh, -c, "mkdir /tmp/w; echo ok >/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w"]\nreplicas: %s\nresources: {cpu: 0.1, memory: 32M, disk: 32M, pids: 16}\n' \
        "$1" "$2" >"$WORK/$1/service.yaml"
    printf '%s\n' "${@:4}" >>"$WORK/$1/service.yaml"
}

# --- ports
bundle web 2 8 'ports: [{name: http, container: 8080}]' 'health: {port: http}'
minga 1 push "$WORK/web" >/dev/null
minga 1 start web --wait=30s || fail "start web"
holder=$(number_of_name "$(nodes_of 1 web | head -n 1)")
change "$holder" 's/31000-31099/32000-32099/'
# What is answered is asked of everybody who may know: the old one goes when the new one runs.
lost=0
for _ in $(seq 20); do
    [ "$(for i in 1 2 3 4; do minga "$i" --json node | jq '[.replicas[] | select(.state == "running")] | length'; done | paste -sd+ | bc)" -ge 2 ] || lost=$((lost + 1))
    sleep 0.1
done
if [ "$lost" = 0 ]; then pass "while a port is taken away two run all the time"; else fail "while a port is taken away two did not run in $lost of 20 looks"; fi
within 30 "a replica on a port that is not given any more goes" here_count "$holder" 0
within 20 "two run elsewhere, and answer" all_answer "$holder" web 2
others=$(for i in 1 2 3 4; do [ "$i" = "$holder" ] || echo "$i"; done)
for i in $others; do minga "$i" node drain >/dev/null; done
within 30 "one runs here again, at a port of the new ones" eval 'minga "$holder" locate web | grep -q ":320[0-9][0-9]$"'
for i in $others; do minga "$i" node resume >/dev/null; done
within 30 "two run" has_running 1 web 2

# --- egress
bundle crawler 1 1 'egress: internet'
minga 1 push "$WORK/crawler" >/dev/null
minga 1 start crawler >/dev/null
within 20 "nobody gives a way to the Internet yet" eval 'minga 1 status crawler | grep -q "network.egress"'
change 1 's/egress: deny/egress: internet/'
within 30 "after a reload it runs where one is given" runs_on crawler 1
change 2 's/egress: deny/egress: internet/'
change 1 's/egress: internet/egress: deny/'
within 30 "when it is taken back it goes where there still is one" runs_on crawler 2
within 80 "and ends here" eval '! minga 1 --json node | jq -e ".replicas[] | select(.id == \"crawler/1\" and .state == \"running\")"'

# --- storage
used() { minga "$1" --json storage | jq .share.used_bytes; }
used_at_most() { [ "$(used "$1")" -le "$2" ]; }
files() { find "$(dir_of "$1")/state/agent/chunks" -type f ! -name '.*' -printf '%f\n'; }
for i in 1 2 3 4; do files "$i"; done | sort -u >"$WORK/chunks"
# copies: on how many disks each chunk is, the least.
copies() { for i in 1 2 3 4; do files "$i"; done | sort | uniq -c | sort -n | awk 'NR == 1 {print $1}'; }
all_there() { for i in 1 2 3 4; do files "$i"; done | sort -u | cmp -s - "$WORK/chunks"; }
within 60 "every chunk is there three times" eval '[ "$(copies)" -ge 3 ]'
change 3 's/storage: 64M/storage: 2M/'
within 60 "who gives less storage has less soon" used_at_most 3 $((2 << 20))
check "the share is shown" eval '[ "$(minga 3 --json storage | jq .share.limit_bytes)" = $((2 << 20)) ]'
check "and every chunk is still there three times" eval 'all_there && [ "$(copies)" -ge 3 ]'
change 3 's/keep_free: 0%/keep_free: 100%/'
within 5 "keep_free counts from the reload on" eval 'minga 3 storage | grep "^nothing is taken at present: .*keep_free"'
change 3 's/keep_free: 100%/keep_free: 0%/; s/storage: 2M/storage: 64M/'

# --- roles
change 4 's/roles: .*/roles: []/'
within 80 "who brings nothing runs nothing" here_count 4 0
within 20 "two of web run elsewhere" has_running 1 web 2
within 60 "stores nothing" used_at_most 4 0
check "and no chunk is lost" all_there
check "nor manages anything" eval '[ "$(manager_of 1 web)" != "$(name_of 4)" ] && [ "$(manager_of 1 crawler)" != "$(name_of 4)" ]'
change 4 's/roles: .*/roles: [run, store, manage]/'
within 20 "and takes part again when told" eval 'minga 4 --json node | jq -e ".state == \"ready\""'

# --- what takes a restart says so, and nothing of it happens
change 4 's/listen: 7400/listen: 7401/'
within 5 "what needs a restart is refused by name" grep -q "network.listen: needs a restart.*stays as it was.*systemctl restart mingad" "$(dir_of 4)/log"
check "the node listens where it did" eval 'in_node 4 ss -ltn | grep -q ":7400 "'
check "and is a member" sees_members 1 4

# --- a rule on programs where mingad sees no other user's processes, as in its unit: minga-sandboxd,
# --- which does not depend on it, tells; and only of names that root has written down
printf '#!/bin/sh\nmount -t proc -o hidepid=2 proc /proc\nexec "$@"\n' >"$WORK/hide"
chmod 755 "$WORK/hide"
mapfile -d '' -t helper <"/proc/$(helper_pids 4 | head -n 1)/cmdline"
node_stop 4
wait_until 10 is_empty helper_pids 4 || fail "the helper goes with its agent"
cat >>"$(dir_of 4)/minga.yaml" <<'RULES'
rules:
  - {name: games, when: {programs: [supergame]}, then: {replicas: freeze}}
RULES
"$BIN/mingad" --config "$(dir_of 4)/minga.yaml" --write-limits
in_node 4 "${helper[@]}" >>"$(dir_of 4)/log" 2>&1 </dev/null &
helper_job=$!
AGENT_PREFIX[4]="unshare --mount --propagation private $WORK/hide"
node_start 4
rule_is() { [ "$(minga 4 --json node | jq -r .rule)" = "$1" ]; }
within 10 "no game runs" rule_is ""
cp "$(command -v sleep)" "$WORK/supergame"
"$WORK/supergame" 1000 &
game=$!
check "mingad does not see it" eval '! nsenter --mount="/proc/${AGENT_PID[4]}/ns/mnt" setpriv --reuid 64321 --regid 64321 --clear-groups cat "/proc/$game/comm"'
within 10 "the rule acts on a program that mingad does not see" rule_is games
change 4 's/supergame/otherprogram/'
within 80 "another name asked for after a reload: it is over" rule_is ""
change 4 's/otherprogram/supergame/'
within 10 "and again" rule_is games
kill_pids KILL "$game"
check "mingad had nothing to complain of" eval '! grep -q "cannot be seen from here" "$(dir_of 4)/log"'
node_stop 4
kill_pids TERM "$helper_job"
