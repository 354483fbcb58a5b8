#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A router that means harm: what minga-portmap reads from it does no damage, sends nobody elsewhere,
# and takes no time and memory without end; what it says of ports and addresses convinces nobody.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/homes.sh
. "$here/homes.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

HOME_OF=([3]=left)
HOME_AT=([left]=201)
node_network() { [ "$1" -lt 3 ] || echo ", port_mapping: auto"; }
OTHERS=()
others_end() {
    local pid
    for pid in "${OTHERS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    OTHERS=()
}
community_new 3
AT_END=others_end
home_plug left visitor 50
MORE_NAMESPACES+=(visitor)

# router HOW: one begins, and the one before it ends. Doors that nobody may knock at: on the node's
# own machine, and at a neighbour's.
router() {
    others_end
    nsenter --net="/run/netns/$(ns_of left)" python3 "$here/../fixtures/hostile_router.py" "$1" \
        >"$WORK/router" 2>&1 </dev/null &
    OTHERS+=($!)
    for place in 3:127.0.0.1 visitor:192.168.1.50; do
        nsenter --net="/run/netns/$(ns_of "${place%%:*}")" python3 -u -c "
import socket, sys
listener = socket.create_server(('${place#*:}', 8631))
while True:
    print('knock', listener.accept()[1], flush=True)" >"$WORK/knocks-${place%%:*}" 2>&1 </dev/null &
        OTHERS+=($!)
    done
    wait_until 60 grep -q ready "$WORK/router"
    wait_until 10 eval 'in_node 3 curl -s --max-time 1 telnet://127.0.0.1:8631 </dev/null; [ -s "$WORK/knocks-3" ]'
    : >"$WORK/knocks-3"
}
# asks KIND METHOD [PORT...]: what minga-portmap says at the node's place; its status stays in `status`.
asks() {
    status=0
    # Not in_node: the exit status of a killed one, and no shell's word about it.
    said=$(nsenter --net="/run/netns/$(ns_of 3)" timeout 60 "$BIN/minga-portmap" "$1" 3600 \
        000102030405060708090a0b "$2" - tcp:7400:7400 "${@:3}" 2>"$WORK/errors" | head -c 100000) || status=$?
}
is_one_line() { [ "$(wc -l <<<"$said")" = 1 ] && [[ $said =~ ^(none\ |mapped\ ) ]]; }
nobody_knocked() { ! [ -s "$WORK/knocks-3" ] && ! [ -s "$WORK/knocks-visitor" ]; }
was_asked() { grep -q "$1" "$WORK/router"; }

router garbage
for method in pcp nat-pmp upnp; do
    asks map "$method"
    check "garbage by $method: one line says that nobody maps" eval 'is_one_line && [[ $said == none* ]]'
done
check "it was asked by each" eval 'was_asked pcp && was_asked natpmp && was_asked http'

router first
for method in pcp nat-pmp; do
    asks map "$method" udp:7401:7401 tcp:7402:7402
    check "by $method: a port without an answer is not said to be open" eval 'is_one_line && [[ $said == "mapped $method "*" tcp:7400:7400" ]]'
done

router elsewhere
asks map upnp
check "who answers from the router's place and points elsewhere is not followed" eval 'was_asked ssdp && [[ $said == none* ]] && nobody_knocked'
check "and that is said" eval '[[ $said == *"is not the router 192.168.1.1"* ]]'
router control
asks map upnp
check "a description that is to be controlled elsewhere is not followed" eval 'was_asked http && [[ $said == none* ]] && nobody_knocked'

router huge
started=$(now_ms)
asks map upnp
check "a description without end ends with the worker's memory" eval 'was_asked http && [ $(($(now_ms) - started)) -lt 30000 ] && ! [[ $said == mapped* ]]'
router drip
started=$(now_ms)
asks map upnp
check "one that comes byte by byte ends with its time" eval 'was_asked http && [ $(($(now_ms) - started)) -lt 30000 ] && [ -z "$said" ]'

# The same under mingad.
router lies
community_start
within 30 "a node whose router lies is relayed all the same" is_reachable 1 3 relayed
within 30 "though the router says that it has opened the port" eval '[ "$(minga 3 --json node | jq -r .port_mapping.state)" = open ] && [ "$(minga 3 --json node | jq -r .port_mapping.router)" = 127.0.0.1 ]'
address() { minga 1 --json nodes | jq -r --arg name "$(name_of 3)" '.nodes[] | select(.node_name == $name).address'; }
stays 8 "nobody is sent where the router says" eval '[[ $(address) == 10.77.0.[12]:* ]]'
check "the node is well" eval 'minga 3 node >/dev/null && ! grep -q "CHECK\|Sanitizer" "$(dir_of 3)/log"'
router huge
ip -n "$(ns_of 3)" addr add 192.168.1.77/24 dev eth0
within 45 "another router is asked after a move, and what comes of that is in the log" grep -q "port mapping: \(the router 192.168.1.1 speaks\|minga-portmap\)" "$(dir_of 3)/log"
check "and the node is well" eval 'minga 3 node >/dev/null'
