#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What each of test_community.sh's guests does: the first one founds and looks, the others join and wait.
# They tell each other by files that the first one serves on port 8000.
# shellcheck disable=SC3043,SC2317
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
own=${GUEST_IP%/*}
number=${own##*.}
founder=10.77.0.1
board=/srv/board

said() { curl -sf --max-time 3 "http://$founder:8000/$1"; }
up_count() { minga --json nodes | jq '[.nodes[] | select(.state == "up")] | length'; }
all_up() { [ "$(up_count)" = "$1" ]; }
running_count() { minga --json status web | jq '.services[0].running'; }
runs() { [ "$(running_count)" = "$1" ]; }
nodes_of_web() { minga --json status web | jq -r '.services[0].replicas[] | select(.state == "running") | .node_name'; }
all_answer() {
    local address
    minga --json locate web --port http | jq -e '.locations | length == 2' >/dev/null || return 1
    for address in $(minga --json locate web --port http | jq -r '.locations[] | "\(.address):\(.port)"'); do
        curl -sf --max-time 3 "http://$address/" | grep -q Minga || return 1
    done
}
not_on() { runs 2 && ! nodes_of_web | grep -qx "guest$1"; }
for_members() {
    # shellcheck disable=SC2046
    set -- $(club_not_on guest1)
    check "a member reaches another guest's port for members" member_gets "$1"
    check "who has no pass hears nothing there" stranger_gets_nothing "$2"
}
found() {
    local victim
    mkdir -p $board
    check "a community is founded" minga community create allotment
    minga invite >$board/token
    (cd $board && exec busybox httpd -f -p 8000) &
    check "three guests are members, and up" wait_for 150 all_up 3
    make_bundle
    add_club
    check "a bundle is pushed" minga push /root/web
    check "two replicas are started" minga start web --replicas 2 --wait=300s
    [ $failed = 0 ] || return
    check "both answer from here" wait_for 30 all_answer
    for_members
    victim=$(nodes_of_web | grep -v guest1 | head -n 1)
    victim=${victim#guest}
    nodes_of_web | sed 's/^/# a replica runs on /'
    echo "$victim" >$board/off
    check "the guest is known to be off" wait_for 60 all_up 2
    check "two replicas run again, none on it" wait_for 60 not_on "$victim"
    check "both answer again" wait_for 30 all_answer
}
take_part() {
    check "the founder has a token" wait_for 150 said token
    said token >/root/token
    check "joins" minga join --yes --token-file /root/token
    while ! said end >/dev/null; do
        if [ "$(said off)" = "$number" ]; then
            echo "ok - is cut from power"
            sleep 1
            echo o >/proc/sysrq-trigger
        fi
        sleep 0.5
    done
    check "sees who is left" all_up 2
}

hostname "guest$number"
echo "guest$number" >/etc/hostname
check "the package is installed" dpkg -i minga.deb
check "all units run" wait_for 30 active
if [ "$number" = 1 ]; then found; else take_part; fi
if [ $failed != 0 ]; then
    { minga status web; minga nodes; minga node history; journalctl --no-pager -n 40 -u mingad -u minga-sandboxd; } 2>&1 | sed 's/^/# /'
fi
[ "$number" != 1 ] || { echo >$board/end; sleep 3; } # the others see it
exit $failed
