#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Homes whose router opens ports for those behind it (PCP, NAT-PMP, UPnP): where the volunteer
# allows it, a node there is direct without a hand's turn, and closes again what it has opened. A
# router that opens nothing, or lies, changes nothing.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/homes.sh
. "$here/homes.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

packages_need miniupnpd-nftables

# The left home has two nodes with one port number; the right one's router opens nothing.
HOME_OF=([3]=left [4]=right [5]=left)
HOME_AT=([left]=201 [right]=202)
HOME_HOST=([5]=11)
node_network() { [ "$1" -lt 3 ] || echo ", port_mapping: ${MAPPING:-auto}"; }
mappers_end() {
    local home
    for home in "${!MAPPER_PID[@]}"; do home_maps "$home" nothing; done
}
community_new 5
AT_END=mappers_end
home_maps left natpmp
for i in 1 2 3 4; do node_start "$i"; done
NODE_COUNT=4 community_form

# mapping I FILTER: what node I says of its router.
mapping() { minga "$1" --json node | jq -r ".port_mapping$2"; }
says() { [ "$(mapping "$1" "$2")" = "$3" ]; }
address_is() { minga "$1" --json nodes | jq -e --arg name "$(name_of "$2")" --arg address "$3" '.nodes[] | select(.node_name == $name).address == $address'; }

within 20 "a node whose router opens its port is direct" is_reachable 1 3 direct
check "it is known by its router's address" address_is 1 3 10.77.0.201:7400
check "minga node says who opens what" eval 'says 3 .state open && says 3 .by pcp && says 3 ".ports[0].outside" 7400'
check "people read it, too" eval 'minga 3 node | grep -q "11.22.33.201  *pcp  *7400"'
within 30 "a node whose router opens nothing is relayed" is_reachable 1 4 relayed
within 30 "and says why" eval 'mapping 4 .reason | grep -q "192.168.1.1 speaks neither PCP nor NAT-PMP nor UPnP"'

# router_row I: what minga check says of the router at node I's place.
router_row() { in_node "$1" "$BIN/minga" --json check 2>/dev/null | jq -r '.checks[] | select(.name == "port mapping") | .state + " " + .detail'; }
check "minga check finds a router that opens ports" eval 'router_row 3 | grep -q "^ok the router opens ports by NAT-PMP or PCP"'
check "and says of another one that it does not" eval 'router_row 4 | grep -q "^missing the router 192.168.1.1 speaks neither"'
check "and changes nothing there" eval '[ "$(home_mapped left)" = 1 ]'

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
check "an owner at home pushes" minga 3 push "$WORK/web.tar.zst"
check "and starts four replicas" minga 3 start web --replicas 4 --wait=60s
within 20 "each node runs one" has_running 1 web 4
within 20 "the replica's port is opened as well" eval '[ "$(home_mapped left)" = 2 ]'
check "it is located at the router" eval 'minga 1 locate web | grep -q "^10.77.0.201:31"'
within 20 "all four answer someone on the Internet" answer_from user 1 web 4

# A second one in the same home wants the same number.
node_start 5
minga 5 join --yes --token-file "$WORK/token" >/dev/null
within 30 "a second node at that home is direct, too" is_reachable 1 5 direct
check "by another port of the router" eval '! address_is 1 5 10.77.0.201:7400 && minga 1 --json nodes | jq -e --arg name "$(name_of 5)" ".nodes[] | select(.node_name == \$name).address | startswith(\"10.77.0.201:\")"'
check "which it names" eval '[ "$(mapping 5 ".ports[0].outside")" != 7400 ] && says 5 ".ports[0].inside" 7400'
node_stop 5
within 10 "its port is closed when it ends, the others' are not" eval '[ "$(home_mapped left)" = 2 ]'

# Other ways of the same router.
kill -USR2 "${AGENT_PID[3]}"
wait "${AGENT_PID[3]}" || true
unset "AGENT_PID[3]"
check "a restart keeps its ports open" eval '[ "$(home_mapped left)" = 2 ]'
node_start 3
within 20 "and is direct after it" is_reachable 1 3 direct
home_maps left natpmp # another process with empty tables, as after a power cut: it says so to all
check "a router that was switched off and on has forgotten" eval '[ "$(home_mapped left)" = 0 ]'
within 15 "and is asked again at once" eval '[ "$(home_mapped left)" -ge 1 ] && says 3 .state open'
node_stop 3
check "a node that ends leaves no port open" eval '[ "$(home_mapped left)" = 0 ]'
home_maps left upnp
node_start 3
check "minga check finds that one as well" eval 'router_row 3 | grep -q "^ok the router opens ports by UPnP"'
within 30 "a router with UPnP only will do" eval 'says 3 .by upnp && is_reachable 1 3 direct'
within 20 "its replica is reached" eval '[ "$(minga 1 locate web | grep -c "^10.77.0.201:31")" = 1 ] && answer_from user 1 web 4'

sed -i 's/port_mapping: auto/port_mapping: off/' "$(dir_of 3)/minga.yaml"
kill -HUP "${AGENT_PID[3]}"
within 20 "off: its ports are closed while it runs" eval '[ "$(home_mapped left)" = 0 ] && says 3 .state off'
