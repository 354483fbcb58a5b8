#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Health probes by TCP, HTTP and command: what fails is not located; what fails for good is started
# again, ever later; restart: never leaves it alone.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 2
community_start

# bundle NAME SCRIPT MANIFEST LINES: busybox runs the script.
bundle() {
    "$here/../fixtures/make_script.sh" "$WORK/scripts/$1" "$2" "$3"
    minga 1 push "$WORK/scripts/$1" >/dev/null
    minga 1 start "$1"
}
replica() { minga 2 --json status "$1" | jq -r ".services[0].replicas[0].$2"; }
health_is() { [ "$(replica "$1" health)" = "$2" ]; }
located() { [ -n "$(minga 1 locate "$1")" ]; }
not_located() { [ -z "$(minga 1 locate "$1" 2>/dev/null)" ]; }
port='ports: [{name: web, container: 8080}]'
times='interval: 500ms, timeout: 500ms, failures: 2, grace: 1s'

bundle page 'mkdir -p /tmp/w; touch /tmp/w/well; httpd -p 8080 -h /tmp/w; sleep 4; rm /tmp/w/well; sleep 1000' \
    "$port
health: {port: web, http: /well, $times}"
within 10 "page: well by HTTP" health_is page ok
check "page: it is located" located page
within 10 "page: its page is gone, which is seen" health_is page failing
within 5 "page: it is not located any more" not_located page
within 25 "page: it is started again" eval '[ "$(replica page restarts)" -ge 1 ]'
check "page: and says why" eval 'replica page reason | grep "its health probe failed"'
within 10 "page: well again" health_is page ok

bundle shut 'while :; do sleep 1; done' "$port
restart: never
health: {port: web, $times}"
within 10 "shut: nobody listens, which TCP sees" health_is shut failing
stays 13 "shut: with restart: never it is left alone" eval '[ "$(replica shut restarts)" = 0 ] && [ "$(replica shut state)" = running ]'

bundle asked 'touch /tmp/well; sleep 3; rm /tmp/well; sleep 1000' \
    "health: {command: [/bin/cat, /tmp/well], $times}"
within 10 "asked: well by a command" health_is asked ok
within 10 "asked: not any more" health_is asked failing
within 60 "asked: started again, and again a second later" eval '[ "$(replica asked restarts)" -ge 2 ]'

for name in page shut asked; do minga 1 stop "$name" --wait=20s >/dev/null || fail "stop $name"; done
for i in 1 2; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
