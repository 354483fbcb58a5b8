#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Two homes behind masquerading routers, two members on the Internet: those at home cannot be
# dialled, yet they join, run replicas, serve each other's users, and go on when a relay dies or
# their address changes.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/homes.sh
. "$here/homes.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

HOME_OF=([3]=left [4]=right)
HOME_AT=([left]=201 [right]=202)
community_new 4
# People at each home, besides the one on the Internet.
home_plug left visitor-left 50
home_plug right visitor-right 50
MORE_NAMESPACES+=(visitor-left visitor-right)
for i in 1 2 3 4; do node_start "$i"; done

check "at home nobody is reached from outside" eval '! in_node 1 curl -s --max-time 1 telnet://10.77.0.201:7400'
community_form
for i in 1 2; do within 10 "node $i on the Internet is direct" is_reachable 4 "$i" direct; done
for i in 3 4; do within 15 "node $i at home is relayed" is_reachable 1 "$i" relayed; done
check "minga node says so, too" eval '[ "$(minga 3 --json node | jq -r .reachable)" = relayed ]'
check "those at home have no place on the ring" eval '[ "$(minga 3 --json ring | jq -r ".positions | length")" = 0 ] || ! minga 3 --json ring | jq -e .has_arc'

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
check "an owner at home pushes" minga 3 push "$WORK/web.tar.zst"
check "and starts four replicas" minga 3 start web --replicas 4 --wait=60s
within 20 "each node runs one" has_running 4 web 4
for i in visitor-left visitor-right user; do
    within 20 "$i reaches all four" answer_from "$i" 4 web 4
done
check "what runs at home is located at a relay" eval 'minga 1 locate web | grep -c "^10.77.0.[12]:" | grep -qx 4'
check "its log is read from the other home" eval 'minga 4 logs web/1 >/dev/null && minga 4 logs web/4 >/dev/null'
check "the agent opens no other port of a home to its relay" eval '! in_node user curl -s --max-time 1 http://10.77.0.1:7401/'

node_kill 2
within 15 "a relay dies: those at home stay members" eval '[ "$(minga 1 --json nodes | jq "[.nodes[] | select(.state == \"up\")] | length")" = 3 ]'
within 20 "three replicas go on" has_running 4 web 3
within 20 "and are reached from the other home" answer_from visitor-right 1 web 3
within 20 "and from the Internet" answer_from user 4 web 3
node_start 2
within 30 "the relay is back, and all four run" has_running 3 web 4
within 20 "all are reached again" answer_from visitor-left 3 web 4

# Another lease for the machine, and another address for its whole home.
ip -n "$(ns_of 3)" addr add 192.168.1.77/24 dev eth0
ip -n "$(ns_of 3)" addr del 192.168.1.10/24 dev eth0
ip -n "$(ns_of 3)" addr add 192.168.1.77/24 dev eth0 2>/dev/null || true
ip -n "$(ns_of 3)" route replace default via 192.168.1.1
ip -n "$(ns_of left)" addr add 10.77.0.211/24 dev wan
ip -n "$(ns_of left)" addr del 10.77.0.201/24 dev wan
ip -n "$(ns_of left)" addr add 10.77.0.211/24 dev wan 2>/dev/null || true
within 30 "after its address has changed it is a member as before" is_reachable 1 3 relayed
within 30 "its replica is reached" answer_from visitor-right 4 web 4

# A member on the Internet moves to another address.
ip -n "$(ns_of 2)" addr add 10.77.0.102/24 dev eth0
ip -n "$(ns_of 2)" addr del 10.77.0.2/24 dev eth0
ip -n "$(ns_of 2)" addr add 10.77.0.102/24 dev eth0 2>/dev/null || true
moved() { minga 4 --json nodes | jq -e --arg name "$(name_of 2)" '.nodes[] | select(.node_name == $name) | (.address | startswith("10.77.0.102")) and .state == "up" and .reachable == "direct"'; }
within 30 "a member that moves is direct at its new address, without a new join" moved
within 30 "all are reached, wherever they are" answer_from user 1 web 4

# Its disk loses the others' addresses: nobody can call it, and it knows nobody.
node_kill 3
python3 -c '
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("DELETE FROM blobs WHERE kind = 6")
database.commit()' "$(dir_of 3)/state/agent/minga.db"
node_start 3
within 30 "who is cut off for good is told so" eval 'minga 3 node | grep -q "no other member.s address is known"'
within 10 "and the log says it" grep -q "no other member's address is known" "$(dir_of 3)/log"
check "once" [ "$(grep -c "no other member's address is known" "$(dir_of 3)/log")" = 1 ]
