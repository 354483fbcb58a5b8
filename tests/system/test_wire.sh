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
GROWTH_KIB_MAX=${GROWTH_KIB_MAX:-16384}

TOOLS=$BIN
community_new 4
# Few descriptors: connections are not to use them up.
AGENT_PREFIX[1]="prlimit --nofile=256:256"
community_start
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
minga 2 push "$WORK/web.tar.zst" >/dev/null
minga 2 start web --wait=20s >/dev/null
agent=${AGENT_PID[1]}

resident_kib() { awk '/^VmRSS/ {print $2}' "/proc/$agent/status"; }
for i in 1 2; do echo "$i ${AGENT_PID[$i]} $(socket_of "$i")"; done >"$WORK/list"
figure() { awk -v name="$1" '$1 == name {print $2}' "$WORK/health"; }
# attack NAME [KEY FILE]: runs it, while a local user and members ask the attacked agent.
attack() {
    local name=$1 attacker before memory=0 now worst
    shift
    before=$(resident_kib)
    in_node user timeout $((seconds + 20)) "$TOOLS/system_wire_attacker" 10.77.0.1 7400 \
        "$(dir_of 1)/state/agent/node.key" "$name" "$seconds" "$@" >"$WORK/figures" &
    attacker=$!
    "$TOOLS/bench_overlay_probe" "$WORK/list" health "$seconds" >"$WORK/health" 2>/dev/null &
    while kill -0 "$attacker" 2>/dev/null; do
        now=$(resident_kib)
        [ "$now" -le "$memory" ] || memory=$now
        sleep 0.05
    done
    wait "$attacker" || fail "$name: the attacker could not begin"
    wait $!
    worst=$(figure worst_ms)
    echo "# $(cat "$WORK/figures"); worst answer $worst ms, to members $(figure worst_member_ms) ms," \
        "$(figure failed) failed, $(((memory - before) / 1024)) MiB more, at most $((memory / 1024)) MiB"
    [ "$(figure worst_member_ms)" -le "$worst" ] || worst=$(figure worst_member_ms)
    if [ "$(figure failed)" = 0 ] && [ "$worst" -le "$SERVED_MS_MAX" ]; then
        pass "$name: members are served"
    else
        fail "$name: members are served (worst $worst ms, $(figure failed) failed)"
    fi
    if [ $((memory - before)) -le "$GROWTH_KIB_MAX" ]; then
        pass "$name: memory is bounded"
    else
        fail "$name: memory is bounded ($before KiB, then $memory KiB)"
    fi
    check "$name: the agent lives" kill -0 "$agent"
    within 10 "$name: all see each other" eval 'sees_members 1 '"$members"' && sees_members 2 '"$members"
}
members=4
for name in half-open slow raw greetings hellos churn shake silent partial unfinished garbage oversize \
    many kinds impostor joins endless; do
    attack "$name"
done
for name in greeted deaf; do attack "$name" "$(dir_of 3)/state/agent/node.key"; done
# A member has four links, on each of which 4 MiB may be under way.
growth_kib_max=$GROWTH_KIB_MAX
GROWTH_KIB_MAX=24576
attack endless-greeted "$(dir_of 4)/state/agent/node.key"
GROWTH_KIB_MAX=$growth_kib_max
check "its agent has said what happened" grep -q 'message that never ends' "$(dir_of 1)/log"

# stalled NAME [KEY FILE]: the agent's loop stands still for a second, ZeroMQ's thread does not.
stalled() {
    local name=$1 attacker stopper before memory=0 now
    shift
    before=$(resident_kib)
    in_node user timeout 30 "$TOOLS/system_wire_attacker" 10.77.0.1 7400 \
        "$(dir_of 1)/state/agent/node.key" "$name" 2 "$@" >"$WORK/figures" &
    attacker=$!
    sleep 0.3
    "$TOOLS/system_thread_stopper" "$agent" 1200 &
    stopper=$!
    while kill -0 "$attacker" 2>/dev/null; do
        now=$(resident_kib)
        [ "$now" -le "$memory" ] || memory=$now
        sleep 0.05
    done
    wait "$stopper" || fail "$name: the loop could not be stopped"
    wait "$attacker" || fail "$name: the attacker could not begin"
    echo "# stalled, $(cat "$WORK/figures"): $(((memory - before) / 1024)) MiB more"
    if [ $((memory - before)) -le "$GROWTH_KIB_MAX" ]; then
        pass "$name while the loop stands still: memory is bounded"
    else
        fail "$name while the loop stands still: memory is bounded ($before KiB, then $memory KiB)"
    fi
    within 10 "$name: all see each other again" eval 'sees_members 1 '"$members"' && sees_members 2 '"$members"
}
for name in half-open churn shake unfinished partial; do stalled "$name"; done

victim=$(node_id 4)
cp "$(dir_of 4)/state/agent/node.key" "$WORK/expelled.key"
minga 1 expel "$victim" >/dev/null
sleep 1
members=3
attack greeted "$WORK/expelled.key"
check "the expelled one stays out" eval '! sees_members 2 4'
within 10 "three replicas" has_running 2 web 3
attack endless "$WORK/expelled.key"
within 15 "after it three replicas answer" eval 'has_running 2 web 3 && all_answer 2 web 3'
check "its links were never all closed" eval '! grep -q "all links to this node" "$(dir_of 1)/log"'

minga 2 stop web --wait=20s >/dev/null
for i in 1 2 3 4; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
