#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A home behind a masquerading router, two members on the Internet: a service with a UDP port that
# runs at home is reached through the relays, each client for itself, and goes on when a relay dies.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/homes.sh
. "$here/homes.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

packages_need python3-minimal libpython3-stdlib socat

HOME_OF=([3]=left)
HOME_AT=([left]=201)
# Only the one at home runs anything.
node_config() {
    echo 'contribute: {cpu: "1.0", memory: 512M, disk: 512M, storage: 512M, keep_free: 0%, pids: 512}'
    [ "$1" = 3 ] || echo 'roles: [store, manage]'
}
community_new 3
community_start
within 30 "the node at home is relayed" is_reachable 1 3 relayed

fixtures=$here/../fixtures
python=$(realpath /usr/bin/python3)
"$fixtures/make_bundle.sh" "$WORK/names.tar.zst" "$fixtures/services/names.yaml" \
    "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$fixtures/names.py=/srv/names.py"
check "a service with a UDP port is pushed" minga 3 push "$WORK/names.tar.zst"
check "and started at home" minga 3 start names --wait=60s

at() { minga 1 locate names --port "$1" | sed -n 1p; }
ask() { in_node user timeout 3 socat -t2 - "UDP:$(at dns),sourceport=$1" <<<"$2"; }
within 20 "its UDP port is located at a relay" eval '[[ $(at dns) == 10.77.0.[12]:* ]]'
within 20 "a datagram is answered" eval 'ask 4001 hello | grep -q "^hello from"'
kept() { { in_node user timeout 3 socat -u "TCP:$(at dns-tcp)" - || true; } | grep -q kept; }
check "the same number for TCP is another port there" eval '[ "$(at dns)" != "$(at dns-tcp)" ] && kept'
first=$(ask 4001 one) second=$(ask 4002 two) again=$(ask 4001 three)
check "each client is a peer of its own ($first, $second)" [ "${first##* }" != "${second##* }" ]
check "and stays the same one ($again)" [ "${first##* }" = "${again##* }" ]
large() { head -c 16000 /dev/zero | tr '\0' x; }
check "a datagram of 16,000 bytes passes both ways" eval \
    '[ "$(large | in_node user timeout 3 socat -b 65000 -t2 - "UDP:$(at dns)" | wc -c)" -gt 16000 ]'
many() { # N clients at once; prints how many were answered
    local i
    for ((i = 0; i < $1; i++)); do
        in_node user timeout 5 socat -t3 - "UDP:$(at dns)" <<<"many $i" 2>/dev/null &
    done
    wait
}
check "twenty clients at once are answered" [ "$(many 20 | grep -c '^many .* from')" = 20 ]

first_relay=$(at dns)
first_relay=${first_relay#10.77.0.}
node_kill "${first_relay%%:*}"
survivor=$((3 - ${first_relay%%:*}))
at() { minga "$survivor" locate names --port "$1" | sed -n 1p; }
within 30 "a relay dies: another one passes on" eval '[[ $(at dns) == 10.77.0.'"$survivor"':* ]] && ask 4003 hello | grep -q "^hello from"'
