#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `minga exec` and `minga cp`: for the owner only, inside the sandbox only, and nothing of it stays.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 3
community_start
"$here/../fixtures/make_web.sh" "$WORK/web.tar"
minga 1 push "$WORK/web.tar" >/dev/null
minga 1 start web --wait=20s >/dev/null || fail "start"

# status_of COMMAND...: its exit status.
status_of() {
    local got=0
    "$@" >/dev/null 2>&1 || got=$?
    echo "$got"
}
ex() { minga 1 exec "$@" </dev/null; }
says() { [ "$("${@:2}" 2>/dev/null)" = "$1" ]; }
complains() { [[ $("${@:2}" 2>&1 >/dev/null) == *"$1"* ]]; }
# Processes by their command line, anywhere on this machine.
running_as() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        [ "$(tr '\0' '.' 2>/dev/null <"$file")" != "$1." ] || echo "$file"
    done 2>/dev/null
}
node_of() { minga 1 --json status web | jq -r --arg id "$1" '.services[0].replicas[] | select(.id == $id) | .node_name'; }

# --- one replica: as if it were here
check "a command runs" says hello ex web/1 -- busybox echo hello
check "its exit status is ours" [ "$(status_of ex web/2 -- sh -c 'exit 7')" = 7 ]
check "a signal is 128 and more" [ "$(status_of ex web/2 -- sh -c 'kill -9 $$')" = 137 ]
check "its stderr comes apart" says "" ex web/1 -- sh -c 'echo oops >&2'
check "and is not lost" complains oops ex web/1 -- sh -c 'echo oops >&2'
check "no such program" [ "$(status_of ex web/1 -- nonsense)" = 127 ]
check "input is passed" says HELLO eval 'echo hello | minga 1 exec web/3 -- busybox tr a-z A-Z'
seq 300000 >"$WORK/lines"
check "much input, much output" eval 'minga 1 exec web/3 -- busybox cat <"$WORK/lines" | cmp - "$WORK/lines"'
check "a slow reader gets it all" eval 'ex web/2 -- busybox seq 300000 | (sleep 4; cat) | cmp - "$WORK/lines"'
check "a reader that goes ends it" says y eval '{ ex web/2 -- busybox yes || true; } | head -n 1'
within 3 "and what ran there" is_empty running_as "busybox.yes"
refused 4 "no such replica. The service has 3: 1 to 3" "no such replica" minga 1 exec web/9 -- busybox true
refused 4 "no such replica. The service has 3: 1 to 3" "no such replica to read" minga 1 logs web/9
refused 4 "no such service" "no such service" minga 1 exec nosuch -- busybox true
refused 2 "missing" "no command" minga 1 exec web/1
refused 2 "no name" "a command without a name" minga 1 exec web/1 -- ""

# --- inside, and with nothing more than the service
inside() { ex "web/$1" -- sh -c "$2"; }
check "as the service's user" says 65534 inside 1 'busybox id -u'
check "in the service's namespaces" eval '[ "$(inside 1 "busybox readlink /proc/self/ns/net /proc/self/ns/pid")" = "$(inside 1 "busybox readlink /proc/2/ns/net /proc/2/ns/pid")" ]'
check "in its cgroup" eval '[ "$(inside 1 "busybox cat /proc/self/cgroup")" = "$(inside 1 "busybox cat /proc/2/cgroup")" ]'
check "without capabilities, under the filter" says "CapPrm:0000000000000000 CapEff:0000000000000000 CapBnd:0000000000000000 NoNewPrivs:1 Seccomp:2" \
    inside 1 'busybox grep -E "^(CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status | busybox tr -d "\t" | busybox tr "\n" " " | busybox sed "s/ $//"'
check "no descriptor but three" says "0 1 2 3" inside 1 'cd /proc/self/fd; echo *' # 3: the shell's look
check "no terminal" [ "$(status_of inside 1 'busybox tty -s')" = 1 ]
check "in the service's folder" says / ex web/1 -- busybox pwd
# What the runtime's program is for a container there: here a sealed copy, which only pid 1 may be.
check "/proc/self/exe is no way out" [ "$(status_of ex web/1 -- /proc/self/exe)" = 2 ]
ex web/1 -- busybox ln -s /proc/self/exe /tmp/exe
check "nor is a link to it" [ "$(status_of ex web/1 -- /tmp/exe)" = 2 ]
check "no session of others" inside 1 '[ "$(busybox cut -d " " -f 6 /proc/self/stat)" = "$(busybox cut -d " " -f 1 /proc/$$/stat)" ]'
check "a clean environment" says "HOME HOSTNAME PATH" eval 'ex web/1 -- busybox env | cut -d = -f 1 | sort | xargs'
check "init cannot be touched" [ "$(status_of inside 1 'busybox kill -9 1; busybox cat /proc/1/environ')" = 1 ]
check "no namespaces" [ "$(status_of inside 1 'busybox unshare -r busybox true')" != 0 ]
check "within the replica's limit of memory" eval '[ "$(status_of inside 2 "busybox head -c 200000000 /dev/zero | busybox tail -c 100000000 >/dev/null; exit 3")" != 0 ]'
restarted() { # N: so many starts anew were counted, and all run, both at one moment
    [ "$(minga 1 --json status web | jq ".services[0].replicas | map(select(.state == \"running\")) | length == 3 and (map(.restarts) | add) >= $1")" = true ]
}
within 15 "which was killed for it, and runs again" restarted 1

# --- all at once
ex web -- busybox hostname >"$WORK/out" 2>"$WORK/err"
sed 's/^/# /' "$WORK/out" "$WORK/err"
check "each line says whose it is" eval '[ "$(sort "$WORK/out")" = $'"'"'web/1 | web-1\nweb/2 | web-2\nweb/3 | web-3'"'"' ]'
check "and the sum is said" grep -q "3 of 3 went well" "$WORK/err"
check "one that fails makes the status 1" [ "$(status_of ex web -- sh -c '[ "$HOSTNAME" != web-2 ]')" = 1 ]
started=$(now_ms)
ex web --parallel 1 --delay 1s -- busybox true >/dev/null 2>&1
check "a delay lies between them" [ $(($(now_ms) - started)) -ge 2000 ]
check "as JSON" eval 'ex --json web -- busybox hostname | jq -se "[.[] | select(.ok and .exit_status == 0)] | length == 3"'

# --- it ends
refused 5 "its time was over" "a time limit" minga 1 exec web/1 --timeout 1s -- busybox sleep 31337
within 3 "then nothing runs on" is_empty running_as "busybox.sleep.31337"
HOME=$WORK/home MINGA_SOCKET=$(socket_of 1) "$BIN/minga" exec web/1 -- busybox sleep 31338 </dev/null 2>/dev/null &
client=$!
within 5 "a command runs" eval '[ -n "$(running_as busybox.sleep.31338)" ]'
kill -INT "$client"
if wait "$client"; then fail "Ctrl-C is no success"; fi
within 3 "Ctrl-C ends it" is_empty running_as "busybox.sleep.31338"
HOME=$WORK/home MINGA_SOCKET=$(socket_of 1) "$BIN/minga" exec web/2 -- busybox sleep 31339 </dev/null 2>/dev/null &
client=$!
within 5 "another one runs" eval '[ -n "$(running_as busybox.sleep.31339)" ]'
kill -KILL "$client"
wait "$client" 2>/dev/null || true
within 15 "kill -9 of the command ends it, too" is_empty running_as "busybox.sleep.31339"
sleepers=()
for _ in 1 2 3 4 5 6 7 8; do
    HOME=$WORK/home MINGA_SOCKET=$(socket_of 1) "$BIN/minga" exec web/3 -- busybox sleep 31340 </dev/null >/dev/null 2>&1 &
    sleepers+=($!)
done
within 5 "eight at once in a replica" eval '[ "$(running_as busybox.sleep.31340 | wc -l)" = 8 ]'
refused 1 "too many commands" "a ninth is refused" minga 1 exec web/3 -- busybox true
kill_pids TERM "${sleepers[@]}"
within 5 "they end" is_empty running_as "busybox.sleep.31340"
within 5 "and there is room again" ex web/3 -- busybox true

# --- for the owner only
owner=$(minga 1 --json services | jq -r '.services[0].owner')
mkdir -p "$WORK/other"
stranger() { HOME=$WORK/other MINGA_SOCKET=$(socket_of 2) "$BIN/minga" "$@"; }
stranger key >/dev/null 2>&1
refused 1 "somebody else's" "another member's key" stranger exec "web@$owner/1" -- busybox true
refused 1 "somebody else's" "nor may it copy" stranger cp "web@$owner/1:/www" "$WORK/stolen"
check "nothing was" [ ! -e "$WORK/stolen/index.html" ]
mkfifo "$WORK/hold"
NODE=$(minga 1 --json nodes | jq -r --arg name "$(node_of web/1)" '[.nodes[] | select(.node_name != $name)][0].node') \
    python3 "$here/exec_replay.py" "$(socket_of 1)" "$WORK/between.sock" <"$WORK/hold" >"$WORK/replay" &
replay=$!
exec 9>"$WORK/hold"
within 3 "a proxy listens" test -S "$WORK/between.sock"
check "a command through it" says once eval 'HOME=$WORK/home "$BIN/minga" --socket "$WORK/between.sock" exec web/1 -- busybox echo once </dev/null'
exec 9>&-
wait "$replay" || fail "the proxy"
check "its signature opens nothing again" eval '[ "$(grep -c " 422 " "$WORK/replay")" = 3 ] && ! grep -q opened "$WORK/replay"'

# --- copies
minga 1 cp web:/www "$WORK/gathered/@/"
check "a tree per replica" eval 'for i in 1 2 3; do cmp "$WORK/gathered/web-$i/www/index.html" "$WORK/gathered/web-1/www/index.html" && [ -x "$WORK/gathered/web-$i/www/cgi-bin/replica" ] || exit 1; done'
head -c 5000000 /dev/urandom >"$WORK/blob"
minga 1 cp "$WORK/blob" web:/tmp/
minga 1 cp web/2:/tmp/blob "$WORK/back"
check "a file there and back" cmp "$WORK/blob" "$WORK/back"
check "in all of them" eval '[ "$(ex web -- busybox md5sum /tmp/blob 2>/dev/null | grep -c "$(md5sum <"$WORK/blob" | cut -d " " -f 1)")" = 3 ]'
for i in 1 2 3; do echo "for $i" >"$WORK/conf-web-$i"; done
minga 1 cp "$WORK/conf-@" web:/tmp/conf
check "@ stands for the name" says "for 2" ex web/2 -- busybox cat /tmp/conf
refused 2 "cannot all go there" "three into one place" minga 1 cp web:/www "$WORK/one"
refused 4 "No such file" "what is not here" minga 1 cp "$WORK/nothing" web/1:/tmp/
check "what is not there" [ "$(status_of minga 1 cp web/1:/nothing "$WORK/none")" = 1 ]
refused 2 "exactly one" "from there to there" minga 1 cp web/1:/www web/2:/tmp
ex web/1 -- sh -c 'mkdir /tmp/evil && cd /tmp/evil && ln -s /etc/passwd out && ln -s ../../../x up && echo good >good && busybox mkfifo pipe'
check "what leads out is left out" [ "$(status_of minga 1 cp web/1:/tmp/evil "$WORK/evil")" = 1 ]
check "the rest is copied" says good cat "$WORK/evil/good"
check "and nothing else" [ "$(find "$WORK/evil" | wc -l)" = 2 ]
head -c 30000000 /dev/zero >"$WORK/large"
check "a full disk there is said" complains "No space left" minga 1 cp "$WORK/large" web/1:/tmp/large
check "and is no success" [ "$(status_of minga 1 cp "$WORK/large" web/2:/tmp/large)" = 1 ]

# A copy that is interrupted dies of the signal, and leaves what was there before.
head -c 7000000 /dev/urandom >"$WORK/half"
in_tmp() { ex web/1 -- busybox ls -A /tmp; }
check "something is there before" eval 'ex web/1 -- sh -c "rm -rf /tmp/evil /tmp/large; echo before >/tmp/half"'
HOME=$WORK/home MINGA_SOCKET=$(socket_of 1) "$BIN/minga" cp "$WORK/half" web/1:/tmp/half </dev/null >"$WORK/out" 2>&1 &
client=$!
within 5 "a copy is under way" eval 'in_tmp | grep -q "^\.minga-cp-"'
kill -TERM "$client"
got=0
wait "$client" || got=$?
check "it dies of its signal" [ "$got" = 143 ]
within 3 "nothing of it is left" eval '! in_tmp | grep -q "^\.minga-cp-"'
check "the old file is whole" says before ex web/1 -- busybox cat /tmp/half
mkdir "$WORK/half-here"
HOME=$WORK/home MINGA_SOCKET=$(socket_of 1) "$BIN/minga" cp web/1:/tmp/blob "$WORK/half-here/" </dev/null >"$WORK/out" 2>&1 &
client=$!
within 5 "another comes here" eval '[ -n "$(ls -A "$WORK/half-here")" ]'
kill -TERM "$client"
got=0
wait "$client" || got=$?
check "it dies of it, too" [ "$got" = 143 ]
within 3 "and leaves nothing here" is_empty ls -A "$WORK/half-here"

# --- its node is paused meanwhile
victim=$(number_of_name "$(node_of web/1)")
other=$([ "$victim" = 1 ] && echo 2 || echo 1)
HOME=$WORK/home MINGA_SOCKET=$(socket_of "$other") "$BIN/minga" exec web/1 --timeout 10m -- busybox sleep 31342 </dev/null >"$WORK/out" 2>&1 &
client=$!
within 5 "a command runs" eval '[ -n "$(running_as busybox.sleep.31342)" ]'
minga "$victim" node pause --now >/dev/null
started=$(now_ms)
if wait "$client"; then fail "a node that is paused is no success"; fi
took=$(($(now_ms) - started))
check "it ends when its node is paused ($took ms)" eval '[ "$took" -le 5000 ] && grep -q "was frozen: its node is paused" "$WORK/out"'
minga "$victim" node resume >/dev/null
within 5 "and does not run on when that is over" is_empty running_as "busybox.sleep.31342"
within 15 "three run" has_running 1 web 3

# --- replica and node go meanwhile
victim=$(number_of_name "$(node_of web/3)")
other=$([ "$victim" = 1 ] && echo 2 || echo 1)
HOME=$WORK/home MINGA_SOCKET=$(socket_of "$other") "$BIN/minga" exec web/3 -- busybox sleep 31341 </dev/null >"$WORK/out" 2>&1 &
client=$!
within 5 "a command runs" eval '[ -n "$(running_as busybox.sleep.31341)" ]'
# The service's main process is the first of the sandbox's that is not init's.
service=$(pids_in_cgroup "$victim" | while read -r pid; do ! grep -qsa httpd "/proc/$pid/cmdline" || echo "$pid"; done | head -n 1)
kill -KILL "$service"
started=$(now_ms)
if wait "$client"; then fail "a replica that ends is no success"; fi
check "it ends with the replica ($(($(now_ms) - started)) ms)" grep -q "the replica.*ended" "$WORK/out"
within 15 "three run again" restarted 2
victim=$(number_of_name "$(node_of web/3)")
other=$([ "$victim" = 1 ] && echo 2 || echo 1)
HOME=$WORK/home MINGA_SOCKET=$(socket_of "$other") "$BIN/minga" exec web --timeout 60s -- busybox sleep 12 </dev/null >"$WORK/out" 2>&1 &
client=$!
within 5 "commands run in all three" eval '[ "$(running_as busybox.sleep.12 | wc -l)" = 3 ]'
node_kill "$victim"
if wait "$client"; then fail "a node that dies is no success"; fi
check "two of three" grep -q "2 of 3 went well" "$WORK/out"
check "and the one is named" grep -q "web/3 on $(name_of "$victim"): .*\(does not answer\|ended\)" "$WORK/out"

minga "$other" stop web --wait=20s >/dev/null || fail "stop"
for i in 1 2 3; do [ "$i" = "$victim" ] || node_stop "$i"; done
node_start "$victim"
node_stop "$victim"
within 5 "nothing is left behind" is_empty leftovers
