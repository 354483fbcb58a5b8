#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `minga try`: one replica in its sandbox without agent or community. However it ends, nothing is
# left: neither processes, groups, mounts nor folders.
# One of minga-try: some look whether anything of `minga try` is left on this machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-try-test.XXXXXX")
chmod 755 "$WORK"
PIDS=()
clean_up() {
    local status=$?
    kill_pids KILL "${PIDS[@]}"
    rm -rf "$WORK"
    exit "$status"
}
trap clean_up EXIT
unset MINGA_SOCKET

# bundle FOLDER COMMAND [KEY...]: a bundle of a shell command.
bundle() {
    local folder=$WORK/$1 command=$2
    mkdir -p "$folder/bin"
    cp /bin/busybox "$folder/bin/busybox"
    ln -sf busybox "$folder/bin/sh"
    shift 2
    {
        echo "name: trial"
        echo "command: [/bin/busybox, sh, -c, '$command']"
        printf '%s\n' "$@"
    } >"$folder/service.yaml"
}
# try_start ARGS...: in the background; its output is in out and err.
try_start() {
    "$BIN/minga" try "$@" >"$WORK/out" 2>"$WORK/err" </dev/null &
    TRY=$!
    PIDS+=("$TRY")
}
is_running() { grep -q '^minga: running' "$WORK/err"; }
says() { grep -q -- "$2" "$WORK/$1"; }
try_ends() {
    TRY_STATUS=0
    wait "$TRY" || TRY_STATUS=$?
}
helpers() { { grep -lsz 'minga-sandboxd$' /proc/[0-9]*/cmdline | xargs -r grep -lsz '/minga/try/' | cut -d / -f 3; } || true; }
guards() { pgrep -x minga || true; }
traces() {
    helpers | sed 's/^/helper /'
    find /sys/fs/cgroup -maxdepth 6 -name 'minga-try-*' 2>/dev/null
    find /var/lib/minga/try /run/minga/try -mindepth 1 -maxdepth 1 2>/dev/null
    { losetup -a | grep /minga/try/; } || true
    { grep /minga/try/ /proc/self/mounts; } || true
}

# --- a service that answers
"$here/../fixtures/make_web.sh" "$WORK/web.tar.gz"
try_start "$WORK/web.tar.gz" --port 18731
within 10 "a bundle is run" is_running
answer() { curl -sf --max-time 2 http://127.0.0.1:18731/; }
within 5 "and answers on the port that was asked for" answer
within 5 "its health is shown" says err '^minga: healthy'
refused 1 "port 18731" "a second one on that port is refused" "$BIN/minga" try "$WORK/web.tar.gz" --port 18731
check "and the first goes on" answer
kill -INT "$TRY"
try_ends
check "Ctrl-C ends it, with status 0" [ "$TRY_STATUS" = 0 ]
check "and it says so" says err '^minga: stopped'
within 3 "nothing is left behind" is_empty traces

# --- its output, its exit status
bundle talk 'echo to stdout; echo to stderr >&2; id -u; ls /; exit 7'
try_start "$WORK/talk"
try_ends
check "a folder is run; its exit status makes ours" [ "$TRY_STATUS" = 1 ]
check "and is told" says err 'trial: exit status 7'
check "what it prints comes on stdout" says out '^to stdout'
check "also its stderr" says out '^to stderr'
check "it runs as the manifest's user" says out '^65534'
check "in a root of its own" eval '! says out "^home"'
bundle much 'busybox seq 200000' 'logs: 8M' 'resources: {cpu: 1.0, memory: 32M, disk: 16M, pids: 32}'
try_start "$WORK/much"
try_ends
check "much output comes completely" cmp -s "$WORK/out" <(seq 200000)
check "a service that ends well is no error" [ "$TRY_STATUS" = 0 ]
bundle big 'x=$(busybox head -c 200000000 /dev/zero | busybox tr "\\0" x); echo $x' 'resources: {cpu: 1.0, memory: 16M, disk: 16M, pids: 32}'
try_start "$WORK/big"
try_ends
check "out of memory is told" says err 'out of memory: limit 16M'
within 3 "nothing is left behind" is_empty traces

# --- what is wrong is said
printf 'name: trial\ncommand: [/bin/busybox]\nreplicas: many\n' >"$WORK/talk/service.yaml"
refused 1 "service.yaml:3:11" "a bad manifest is refused with line and column" "$BIN/minga" try "$WORK/talk"
refused 4 "No such file" "no such bundle" "$BIN/minga" try "$WORK/nothing"
refused 2 "no port" "a port that is none" "$BIN/minga" try "$WORK/web.tar.gz" --port 0
bundle mute 'sleep 1'
refused 2 "publishes no port" "a port of a service without any" "$BIN/minga" try "$WORK/mute" --port 18731
refused 3 "only root" "somebody else than root" setpriv --reuid 65534 --clear-groups "$BIN/minga" try "$WORK/mute"
within 3 "nothing is left behind" is_empty traces

# --- it does not want to end
bundle deaf 'trap "" TERM INT; echo here; while :; do sleep 1; done' 'stop: {grace: 60s}'
try_start "$WORK/deaf"
within 10 "a service that hears nothing runs" says out '^here'
kill -INT "$TRY"
within 2 "Ctrl-C asks it to end" says err '^minga: stopping'
check "it does not" kill -0 "$TRY"
kill -INT "$TRY"
within 5 "the second Ctrl-C kills it" is_gone "$TRY"
try_ends
within 5 "nothing is left behind" is_empty traces

# --- killed
try_start "$WORK/deaf"
within 10 "it runs again" says out '^here'
kill -KILL "$TRY"
try_ends
within 10 "kill -9 of the command: nothing is left behind" is_empty traces
try_start "$WORK/deaf"
within 10 "it runs again" says out '^here'
guard=$(pgrep -P "$TRY" -x minga)
kill -KILL "$guard" "$TRY"
try_ends
within 15 "kill -9 of the guard, too: no process is left" is_empty helpers
check "but its folders are" eval '[ -n "$(traces)" ]'
bundle talk 'echo well'
try_start "$WORK/talk"
try_ends
check "the next one works" says out '^well'
within 5 "and has removed what was left behind" is_empty traces
