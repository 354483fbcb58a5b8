#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Whatever strangers, an expelled node and a lying member send to an agent's port: members are
# served meanwhile, its memory stays bounded, it does not end.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
seconds=${SECONDS_EACH:-3}
SERVED_MS_MAX=${SERVED_MS_MAX:-1000} # 200 on an idle machine of its own

community_new 4
for i in 1 2 3 4; do node_start "$i"; done
community_form
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
minga 2 push "$WORK/web.tar.zst" >/dev/null
minga 2 start web --wait=20s >/dev/null
agent=${AGENT_PID[1]}

resident_kib() { awk '/^VmRSS/ {print $2}' "/proc/$agent/status"; }
attack() { # NAME [KEY FILE]: runs it, with honest requests beside it; prints the figures
    local name=$1 attacker worst=0 failed=0 began took memory=0 now
    shift
    in_node user timeout $((seconds + 20)) "$BIN/system_wire_attacker" 10.77.0.1 7400 \
        "$(dir_of 1)/state/agent/node.key" "$name" "$seconds" "$@" >"$WORK/figures" &
    attacker=$!
    while kill -0 "$attacker" 2>/dev/null; do
        began=$(now_ms)
        minga 1 --json status web >/dev/null 2>&1 || failed=$((failed + 1))
        took=$(($(now_ms) - began))
        [ "$took" -le "$worst" ] || worst=$took
        now=$(resident_kib)
        [ "$now" -le "$memory" ] || memory=$now
        sleep 0.1
    done
    wait "$attacker" || fail "$name: the attacker could not begin"
    echo "# $(cat "$WORK/figures"); worst answer $worst ms, $failed failed, at most $((memory / 1024)) MiB"
    if [ "$failed" = 0 ] && [ "$worst" -le "$SERVED_MS_MAX" ]; then
        pass "$name: members are served"
    else
        fail "$name: members are served (worst $worst ms, $failed failed)"
    fi
    if [ "$memory" -lt 400000 ]; then pass "$name: memory is bounded"; else fail "$name: memory is bounded ($memory KiB)"; fi
    check "$name: the agent lives" kill -0 "$agent"
    within 10 "$name: all see each other" eval 'sees_members 1 '"$members"' && sees_members 2 '"$members"
}
members=4
for name in half-open slow raw garbage oversize many kinds impostor joins; do attack "$name"; done
attack greeted "$(dir_of 3)/state/agent/node.key"

victim=$(minga 1 --json nodes | jq -r '.nodes[] | select(.node_name == "'"$(name_of 4)"'") | .node')
cp "$(dir_of 4)/state/agent/node.key" "$WORK/expelled.key"
minga 1 expel "$victim" >/dev/null
sleep 1
members=3
attack greeted "$WORK/expelled.key"
check "the expelled one stays out" eval '! sees_members 2 4'
within 10 "three replicas" has_running 2 web 3
SERVED_MS_MAX=3000 # its links are closed now and then
attack endless
within 15 "after it three replicas answer" eval 'has_running 2 web 3 && all_answer 2 web 3'
check "its agent has said what happened" grep -q 'messages that never end' "$(dir_of 1)/log"

minga 2 stop web --wait=20s >/dev/null
for i in 1 2 3 4; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
