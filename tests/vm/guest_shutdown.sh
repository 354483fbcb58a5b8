#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What test_shutdown.sh has done in the guest; runs again after the reboot, with GUEST_MARK.
# shellcheck disable=SC3043,SC2317
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
# shellcheck source=tests/vm/guest_world.sh
. ./guest_world.sh
delay_s=20 # logind's InhibitDelayMaxSec= (5 s by default), for an emulated machine beside much else

up() { [ "$(minga --json nodes | jq '[.nodes[] | select(.state == "up")] | length')" = "$1" ]; }
runs_on() { # NODE, as FIR sees it
    minga_of fir --json status web | jq -e --arg node "$1" '[.services[0].replicas[] | select(.state == "running" and .health == "ok").node_name] == [$node]'
}
locks() { systemd-inhibit --list --no-legend --no-pager | awk '$1 == "Minga" && /delay/ && / minga / {print}'; }
has_locks() { locks && locks | grep -q ' sleep ' && locks | grep -q ' shutdown '; }

# The journal as "MS PROGRAM: TEXT"; what it says until the very end lies in a file.
journal=/var/lib/guest/journal
journal_of() { journalctl --no-pager -o json "$@" -t mingad -t systemd-logind -t systemd -t systemd-sleep -t fir; }
story() {
    jq -r '"\((.__REALTIME_TIMESTAMP | tonumber / 1000 | floor)) \(.SYSLOG_IDENTIFIER): \(.MESSAGE)"'
}
when() { # TEXT: of the last line of /run/story that has it
    grep -F "$1" /run/story | tail -n 1 | cut -d ' ' -f 1
}
follows() { # TEXT TEXT...: each later than the one before, all within logind's delay
    local first='' before=0 at text
    for text in "$@"; do
        at=$(when "$text")
        if [ -z "$at" ] || [ "$at" -lt "$before" ]; then
            echo "$text: ${at:-never}, before: $before"
            cat /run/story
            return 1
        fi
        first=${first:-$at} before=$at
    done
    echo "# from the first to the last: $((before - first)) ms" >&3
    [ $((before - first)) -lt $((delay_s * 1000)) ]
}

surroundings() { # another member, on a machine of its own
    ip netns add internet
    ip -n internet link set lo up
    cable "" lan0 internet wan
    ip addr add 93.0.0.1/24 dev lan0
    ip -n internet addr add 93.0.0.9/24 dev wan
    member_new fir 93.0.0.9 7400
    check "another member runs" wait_for 30 minga_of fir node
}
to_guest() { # the replica, whoever has it
    minga_of fir node drain >/dev/null
    check "the replica runs on the guest" wait_for 60 runs_on oak
    minga_of fir node resume >/dev/null
}
set_up() {
    # As on a machine for people, logind runs.
    rm -f /etc/systemd/system/systemd-logind.service /etc/systemd/system/systemd-user-sessions.service
    mkdir -p /etc/systemd/logind.conf.d
    printf '[Login]\nInhibitDelayMaxSec=%s\n' $delay_s >/etc/systemd/logind.conf.d/delay.conf
    systemctl daemon-reload
    systemctl start systemd-logind.service
    check "the package recommends what logind needs to give it locks" eval 'dpkg-deb -f minga.deb Recommends | grep -qw polkitd && dpkg-query -W polkitd'
    check "the package is installed" dpkg -i minga.deb
    check "all units run" wait_for 20 active
    check "mingad, without rights, holds a lock against sleep and one against shutdown" wait_for 20 has_locks
    printf 'name: oak\nnetwork: {advertise: "93.0.0.1:7400"}\n' >/etc/minga/minga.yaml
    systemctl restart mingad.service
    surroundings
    minga_of fir community create allotment >/dev/null
    minga_of fir invite >/run/token
    check "it founds a community, and the guest joins" minga join --yes --token-file /run/token
    check "both are up" wait_for 30 up 2
    minga_of fir node drain >/dev/null
    make_bundle
    minga push /root/web >/dev/null
    check "a replica is started" minga start web --wait=300s
    to_guest
}
sleeps() {
    local began
    began=$(date +%s)
    rtcwake -m no -s 30 >/dev/null
    check "the machine is told to sleep" systemctl suspend
    check "it has slept, and is awake" wait_for 60 eval 'journalctl -t systemd-logind -t systemd-sleep | grep -F "returned from sleep"'
    journal_of --since "@$began" | story >/run/story
    check "what ran here runs elsewhere before it sleeps" follows \
        "about to sleep or stop: replicas are handed over" "fir: web/1: runs" "no replica is left here" "Entering sleep state"
    check "mingad knows that it is awake" wait_for 10 eval 'journalctl -u mingad MINGA_EVENT=awake | grep -F "goes on"'
    check "and holds both locks again" wait_for 20 has_locks
}
replica_pid() { pgrep -f '^/bin/busybox httpd -f' | head -n 1; }
is_frozen() { grep -qx "frozen $1" "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(replica_pid)/cgroup")/cgroup.events"; }
wakes_count() { journalctl --no-pager -t systemd-logind -t systemd-sleep | grep -cF "returned from sleep"; }
has_woken() { [ "$(wakes_count)" -gt "$1" ]; }
# Longer than what runs is let live without an agent's word (30 s), of which logind's delay is a part.
sleeps_untaken() {
    local pid count
    to_guest
    minga_of fir node drain >/dev/null
    pid=$(replica_pid)
    count=$(wakes_count)
    rtcwake -m no -s 90 >/dev/null
    check "the machine is told to sleep while nobody takes what runs here" systemctl suspend
    check "it has slept, and is awake again" wait_for 150 has_woken "$count"
    check "what nobody took has slept with it, and goes on" eval 'wait_for 60 runs_on oak && wait_for 60 is_frozen 0'
    check "as the same process" test "$(replica_pid)" = "$pid"
    echo "# slept for some $(journalctl --no-pager -u mingad MINGA_EVENT=awake -o cat | tail -n 1)"
}
rebooted() {
    story <$journal >/run/story
    check "at a reboot what ran here runs elsewhere, before anything is stopped" follows \
        "about to sleep or stop: replicas are handed over" "fir: web/1: runs" "no replica is left here" "Stopping mingad.service"
    check "the machine did not wait for nothing: logind went on when the locks were let go" eval '! grep -F "Delay lock is active" /run/story | grep -F "but inhibitor timeout is reached"'
    check "all units run again" wait_for 60 active
    surroundings
    check "both are up again" wait_for 60 up 2
    to_guest
    sleeps
    sleeps_untaken
}
explain() {
    { minga status web; minga nodes; minga node; journalctl --no-pager -n 80; } 2>&1 | grep -v "RTC interrupts" | sed 's/^/# /'
}
exec 3>&1
case $GUEST_MARK in
"")
    set_up
    if [ $failed = 0 ]; then
        journal_of --follow --lines=0 >$journal &
        sleep 1
        check "the machine is told to reboot" eval 'echo rebooted >/var/lib/guest/mark; sync; systemctl reboot'
        exit 0 # guest-run waits for it
    fi
    ;;
rebooted) rebooted ;;
esac
[ $failed = 0 ] || explain
exit $failed
