#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ./dev demo: five agents form a community; a service outlives one of its machines.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=${BIN:-$here/../../build/release/bin}
BIN=$(realpath "$BIN")
keep=no
case "${1:-}" in
"") ;;
--keep) keep=yes ;;
*) echo "usage: ./dev demo [--keep]" >&2; exit 2 ;;
esac
# shellcheck source=tests/system/community.sh
. "$here/community.sh"

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
# show I ARGS...: prints the command as a person would type it, and runs it on node I.
show() {
    local i=$1
    shift
    printf '%s$ minga %s\n' "$(name_of "$i")" "$*"
    minga "$i" "$@"
}
fetch_all() {
    local place
    for place in $(minga "$1" locate web); do
        printf '$ curl http://%s/cgi-bin/replica\n  %s\n' "$place" "$(answers "$place" /cgi-bin/replica)"
    done
}

step "five machines, each with an agent of its own"
community_new 5
for i in 1 2 3 4 5; do node_launch "$i"; done
for i in 1 2 3 4 5; do wait_until 60 minga "$i" node || { tail "$(dir_of "$i")/log"; exit 1; }; done
echo "mingad answers on $(for i in 1 2 3 4 5; do printf '%s ' "$(name_of "$i")"; done)"

step "a founder creates a community and invites; four others join"
show 1 community create allotment
echo "oak\$ minga invite > token"
minga 1 invite >"$WORK/token"
started=$(now_ms)
for i in 2 3 4 5; do show "$i" join --yes --token-file "$WORK/token"; done
for i in 1 2 3 4 5; do wait_until 60 sees_members "$i" 5; done
echo "every node knows every other after $(($(now_ms) - started)) ms"
show 3 nodes
show 3 ring

step "a service owner pushes a web server and asks for three replicas"
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
show 2 push "$WORK/web.tar.zst"
started=$(now_ms)
show 2 start web --wait
echo "three replicas after $(($(now_ms) - started)) ms"
show 4 status web
fetch_all 5

step "one machine that runs a replica dies: SIGKILL to everything on it"
victim=$(number_of_name "$(nodes_of 1 web | grep -vx "$(name_of 1)" | head -n 1)")
asker=1
show "$victim" node
started=$(now_ms)
node_kill "$victim"
echo "$(name_of "$victim") is dead"
healed() { has_running "$asker" web 3 && all_answer "$asker" web 3 && ! nodes_of "$asker" web | grep -cx "$(name_of "$victim")"; }
wait_until 60 healed || { minga 1 status web; exit 1; }
echo "three replicas again after $(($(now_ms) - started)) ms"
show "$asker" status web
fetch_all "$asker"
show "$asker" nodes

if [ "$keep" = yes ]; then
    step "kept"
    cat <<KEPT
Talk to it:  export MINGA_SOCKET=$(socket_of 1) HOME=$WORK/home; $BIN/minga status
Fetch pages: nsenter --net=/run/netns/$(ns_of user) curl http://\$($BIN/minga locate web | head -n 1)/
Folders:     $WORK/n1 ... n5 (minga.yaml, log, state)
End it:      press Ctrl-C here, or: kill $$
KEPT
    tail --pid=$$ -f /dev/null & # ends with this script
    wait
fi

step "the service is stopped, the machines leave"
show 1 stop web --wait
wait_until 60 has_running 1 web 0
for i in "${!AGENT_PID[@]}"; do node_stop "$i"; done
left=$(NODE_COUNT=5 leftovers | grep -v "node $victim:" | grep -v "$(cgroup_of "$victim")" || true)
[ -z "$left" ] || { echo "left behind:"; echo "$left"; exit 1; }
echo "nothing is left behind"
