#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A community where one node has IPv6 only, one IPv4 only, and one both: whoever can reach another
# does, and those of one family reach those of the other through the third.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/homes.sh
. "$here/homes.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

# plug6 I: node I's IPv6 address; two on the same cable need no duplicate detection here.
plug6() { ip -n "$(ns_of "$1")" addr add "2001:db8:77::$1/64" dev eth0 nodad; }
community_new 3
for i in 1 2 3; do plug6 "$i"; done
ip -n "$(ns_of user)" addr add 2001:db8:77::250/64 dev eth0 nodad
for i in 2 3; do ip -n "$(ns_of "$i")" addr del "10.77.0.$i/24" dev eth0; done
community_start

for i in 2 3; do
    within 10 "node $i has IPv6 only and is direct" is_reachable 1 "$i" direct
    check "it is known by that address" eval 'minga 1 --json nodes | jq -e --arg name "$(name_of $i)" ".nodes[] | select(.node_name == \$name).address == \"[2001:db8:77::$i]:7400\""'
done
within 10 "node 1 has both and is direct" is_reachable 2 1 direct

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
check "an owner on an IPv6-only node pushes" minga 3 push "$WORK/web.tar.zst"
check "and starts three replicas" minga 3 start web --replicas 3 --wait=60s
within 20 "each node runs one" has_running 2 web 3
within 20 "all answer" answer_from user 2 web 3
check "those on IPv6 are located there" eval '[ "$(minga 1 locate web | grep -c "^\[2001:db8:77::[23]\]:")" = 2 ]'

# The other family goes from node 1 as well.
ip -n "$(ns_of 1)" addr del 10.77.0.1/24 dev eth0
moved() { minga 3 --json nodes | jq -e --arg name "$(name_of 1)" '.nodes[] | select(.node_name == $name) | (.address | startswith("[2001:db8:77::1]")) and .state == "up"'; }
within 30 "a node that loses IPv4 is a member as before" moved
within 20 "and its replica answers" answer_from user 2 web 3
