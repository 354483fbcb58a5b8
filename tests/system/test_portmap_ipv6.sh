#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A home with IPv6 only, whose router's firewall lets nobody in: where the volunteer allows it, the
# router is asked by PCP to let in who dials this node, and what runs there; and to close it again.
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
node_network() { [ "$1" != 3 ] || echo ", port_mapping: auto"; }
PLAYER=
router_plays() { # [wrong]: the firewall is as it was when the router was switched on
    local router
    router=$(ns_of left)
    if [ -n "$PLAYER" ]; then
        kill "$PLAYER"
        wait "$PLAYER" || true
    fi
    nsenter --net="/run/netns/$router" nft -f - <<'RULES'
table ip6 home
delete table ip6 home
table ip6 home {
    set holes { type ipv6_addr . inet_proto . inet_service; flags timeout; }
    chain through {
        type filter hook forward priority filter; policy drop;
        iifname "lan" accept
        ct state established,related accept
        ip6 daddr . meta l4proto . th dport @holes accept
    }
}
RULES
    nsenter --net="/run/netns/$router" python3 "$here/../fixtures/pcp_router.py" fe80::1 lan "$@" &
    PLAYER=$!
    wait_until 20 router_listens
}
router_listens() { nsenter --net="/run/netns/$(ns_of left)" ss -6Huln | grep -q ':5351 '; }
holes() { nsenter --net="/run/netns/$(ns_of left)" nft -j list set ip6 home holes | jq '[.nftables[].set.elem // empty | .[]] | length'; }
has_holes() { [ "$(holes)" = "$1" ]; }

community_new 3
player_end() {
    kill "$PLAYER" 2>/dev/null || true
}
AT_END=player_end
for i in 1 2; do ip -n "$(ns_of "$i")" addr add "2001:db8:77::$i/64" dev eth0 nodad; done
ip -n "$(ns_of user)" addr add 2001:db8:77::250/64 dev eth0 nodad
for i in 1 2 user; do ip -n "$(ns_of "$i")" route add 2001:db8:88::/64 via 2001:db8:77::201; done
router=$(ns_of left)
nsenter --net="/run/netns/$router" sysctl -qw net.ipv6.conf.all.forwarding=1
ip -n "$router" addr add 2001:db8:77::201/64 dev wan nodad
ip -n "$router" addr add 2001:db8:88::1/64 dev lan nodad
ip -n "$router" addr add fe80::1/64 dev lan nodad
ip -n "$(ns_of 3)" addr flush dev eth0 scope global
ip -n "$(ns_of 3)" addr add 2001:db8:88::10/64 dev eth0 nodad
ip -n "$(ns_of 3)" route add default via fe80::1 dev eth0
router_plays wrong
community_start

mapping() { minga 3 --json node | jq -r ".port_mapping_ipv6$1"; }
says() { [ "$(mapping "$1")" = "$2" ]; }
within 20 "a router that opens another address has opened nothing" eval 'mapping .reason | grep -q "translates IPv6"'
check "and nobody gets in" eval '! is_reachable 1 3 direct'
node_stop 3
router_plays
node_start 3
within 10 "behind a firewall that is asked to open a node is direct" is_reachable 1 3 direct
check "at its own address" eval 'minga 1 --json nodes | jq -e --arg name "$(name_of 3)" ".nodes[] | select(.node_name == \$name).address == \"[2001:db8:88::10]:7400\""'
check "minga node says what is open, and by what" eval 'says .state open && says .by pcp && says ".ports[0].outside" 7400 && minga 3 node | grep -q "IPv6 firewall  *pcp  *7400"'
check "one port is" has_holes 1

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
check "three replicas start" eval 'minga 1 push "$WORK/web.tar.zst" && minga 1 start web --replicas 3 --wait=60s'
within 20 "the port of the one at home is open, too" has_holes 2
within 20 "and all answer someone on the Internet" answer_from user 1 web 3
minga 1 stop web --wait=20s >/dev/null
within 20 "it is closed when its service has ended" has_holes 1

router_plays
within 40 "a router that has forgotten is asked again when the lease is half over" has_holes 1
stays 45 "and again and again, so that it stays open" has_holes 1
node_stop 3
check "a node that ends leaves nothing open" has_holes 0
node_start 3
within 30 "and opens it again" has_holes 1
sed -i 's/port_mapping: auto/port_mapping: off/' "$(dir_of 3)/minga.yaml"
kill -HUP "${AGENT_PID[3]}"
within 20 "off: it is closed while it runs" eval 'has_holes 0 && says .state off'
