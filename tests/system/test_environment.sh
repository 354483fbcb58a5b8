#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Another execution environment behind the same door: the toy of examples/ passes the suite of the
# real one, and whatever its program does, minga-environment stays and nothing is left.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
if [ "$(id -u)" != 0 ] || ! [ -x /usr/bin/python3 ]; then
    echo "# skipped: needs root and python3"
    exit 0
fi
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
packages_need socat # what the toy forwards ports with
folder=$(mktemp -d /var/tmp/minga-environment.XXXXXX)
trap 'rm -rf "$folder"' EXIT
chmod 711 "$folder"
install -D -m 755 -t "$folder/programs" "$here/../../examples/environment_toy.py" \
    "$here/environment_mad.py"
install -m 755 -t "$folder/programs" "$BIN/minga-environment"
# The programs where every user reaches them, wherever this tree lies.
status=0
for program in toy mad; do
    echo "# with $program"
    mkdir -m 711 "$folder/$program"
    part=table
    [ "$program" = toy ] || part=environment
    "$BIN/system_sandbox_driver" "$folder/$program" "$folder/programs" \
        "--environment=$folder/programs/environment_$program.py" "$part" || status=1
    if [ "$status" != 0 ]; then sed 's/^/# helper: /' "$folder/$program/helper.log"; fi
done

# --- in a community: who asks for it by its label gets it, and only there
community_new 2
mv "$folder/programs" "$WORK/programs"
rm -rf "$folder"
folder=$WORK
cat >>"$(dir_of 2)/minga.yaml" <<CONFIG
environment: {name: toy, command: [$folder/programs/environment_toy.py]}
CONFIG
community_start
mkdir -p "$WORK/page/bin" "$WORK/page/w"
cp /bin/busybox "$WORK/page/bin/"
echo toy >"$WORK/page/w/index.html"
cat >"$WORK/page/service.yaml" <<'MANIFEST'
name: page
command: [/bin/busybox, httpd, -f, -p, "8080", -h, w]
requires: {labels: [environment=toy]}
resources: {cpu: 0.2, memory: 32M, disk: 16M, pids: 16}
ports: [{name: web, container: 8080}]
health: {port: web, interval: 1s, timeout: 1s}
MANIFEST
minga 1 push "$WORK/page" >/dev/null 2>&1 || fail "push"
minga 1 start page --wait=30s >/dev/null || fail "start"
within 10 "a service that asks for it runs in the other environment" eval '[ "$(nodes_of 1 page)" = "$(name_of 2)" ]'
# shellcheck disable=SC2317
page() { in_node user curl -fsS --max-time 2 "http://$(minga 1 locate page --port web | head -n 1)/"; }
within 10 "and answers" eval '[ "$(page)" = toy ]'
# shellcheck disable=SC2317
program() { pgrep -f "^/usr/bin/python3 $folder/programs/environment_toy.py" | while read -r pid; do if [ "$(ps -o comm= -p "$(ps -o ppid= -p "$pid" | tr -d " ")")" = minga-environme ]; then echo "$pid"; fi; done; }
first=$(program | head -n 1)
kill -KILL "$first"
# shellcheck disable=SC2016
within 20 "its program killed: the next one runs it, and it answers again" \
    eval '[ -n "$(program)" ] && [ "$(program | head -n 1)" != "$first" ] && [ "$(page)" = toy ]'
# shellcheck disable=SC2317
between() { pgrep -o -f "minga-environment --run $(dir_of 2)/"; }
kill -KILL "$(between)"
within 20 "minga-environment killed: another one is started, and it answers again" eval '[ "$(page)" = toy ] && [ -n "$(between)" ]'
within 10 "what the first one had started is gone" eval '[ "$(pgrep -fc "^$(dir_of 2)/.*busybox httpd")" = 1 ]'
for order in 1 2 3; do
    # Both at once, in any order: nobody is left who knew of it, but the guard.
    first=$(program | head -n 1) second=$(between)
    case $order in 1) ;; 2) first="$second $first" second='' ;; 3) first="$first $second" second='' ;; esac
    # shellcheck disable=SC2086
    kill -KILL $first
    if [ -n "$second" ]; then sleep 0.02 && kill -KILL "$second"; fi
    within 30 "program and minga-environment killed together ($order): it answers again" eval '[ "$(page)" = toy ] && [ -n "$(between)" ]'
    within 10 "and what they had started is gone ($order)" eval '[ "$(pgrep -fc "^$(dir_of 2)/.*busybox httpd")" = 1 ] && [ "$(program | wc -l)" = 1 ]'
done
minga 1 stop page --wait=20s >/dev/null || fail "stop"
minga 2 leave --yes >/dev/null || fail "leave"
first=$(between)
kill -KILL "$first"
within 20 "minga-environment killed after its node has left: another one is started" eval '[ -n "$(between)" ] && [ "$(between)" != "$first" ]'
for i in 1 2; do node_stop "$i"; done
within 10 "nothing of the environment is left" eval '[ -z "$(pgrep -f "$folder/programs")" ]'
within 5 "nothing is left behind" is_empty leftovers
exit "$status"
