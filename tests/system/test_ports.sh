#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Published ports of both protocols: datagrams find the service and their way back, each client is a
# peer of its own, and what goes beyond a port's limit is refused and shown.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
node_network() { echo ", connections: 6"; }

packages_need python3-minimal libpython3-stdlib socat

community_new 2
community_start
fixtures=$here/../fixtures
python=$(realpath /usr/bin/python3)
"$fixtures/make_bundle.sh" "$WORK/names.tar.zst" "$fixtures/services/names.yaml" \
    "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$fixtures/names.py=/srv/names.py"
minga 1 push "$WORK/names.tar.zst" >/dev/null || fail "push names"
minga 1 start names --wait=30s >/dev/null || fail "start names: $(minga 1 status names)"

at_udp() { minga 2 locate names --port dns | head -n 1; }
at_tcp() { minga 2 locate names --port dns-tcp | head -n 1; }
ask() { in_node user timeout 3 socat -t2 - "UDP:$(at_udp),sourceport=$1" <<<"$2"; }
within 5 "a datagram is answered" eval 'ask 4001 hello | grep -q "^hello from"'
first=$(ask 4001 one) second=$(ask 4002 two) again=$(ask 4001 three)
check "each client is a peer of its own ($first, $second)" [ "${first##* }" != "${second##* }" ]
check "and stays the same one ($again)" [ "${first##* }" = "${again##* }" ]
large() { head -c 60000 /dev/zero | tr '\0' x; }
check "a datagram of 60,000 bytes passes both ways" eval \
    '[ "$(large | in_node user timeout 3 socat -b 65000 -t2 - "UDP:$(at_udp)" | wc -c)" -gt 60000 ]'
check "a list of all places marks those of UDP" eval 'minga 2 locate names | grep -qx "$(at_udp)/udp"'
check "and leaves the others bare" eval 'minga 2 locate names | grep -qx "$(at_tcp)"'
check "JSON names the protocol" eval 'minga 2 --json locate names | grep -q "\"protocol\": *\"udp\""'
check "status has both under \"protocols\"" eval \
    'minga 2 --json status names | tr -d " \n" | grep -q "\"protocols\":{\"dns\":\"udp\",\"dns-tcp\":\"tcp\"}"'

hold() { # N connections at once for two seconds; prints how many were kept
    local i
    for ((i = 0; i < $1; i++)); do
        in_node user timeout 3 socat -u "TCP:$(at_tcp)" - 2>/dev/null &
    done
    wait
}
# The health probe goes past the published port, so all six are the clients'.
check "a port at its limit refuses what is beyond" [ "$(hold 10 | grep -c kept)" = 6 ]
within 5 "the refusals are counted in status" eval 'minga 2 status names | grep -q "connections refused"'
check "and the port takes others when there is room again" [ "$(hold 2 | grep -c kept)" = 2 ]
