#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What test_package.sh has done in the guest; runs again after each reboot, with GUEST_MARK.
# shellcheck disable=SC3043
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
running() { minga --json status web | jq -e '.services[0].running == 1'; }
# Asked again and again since it runs, it never failed.
well() { minga --json status web | jq -e '.services[0].replicas[0] | .health == "ok" and .restarts == 0'; }
no_probe_failed() { ! journalctl -b -u mingad MINGA_SERVICE=web -o cat | grep "does not pass"; }
# The replica's program: what the service's command has become.
replica_pid() { pgrep -f '^/bin/busybox httpd -f' | head -n 1; }
same_pid() { [ -n "$pid" ] && [ "$(replica_pid)" = "$pid" ]; }
answers() { curl -sf --max-time 3 "http://$(minga locate web --port http | head -n 1)/" | grep -q Minga; }
group() { find /sys/fs/cgroup -type d -path '*minga-replicas.service/*' -name memory.max; }
limit_of_replica() { # FILE: of the innermost group that has the replica's process
    cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(replica_pid)/cgroup")/$1"
}
# The limit may stand at a group above.
has_limit() { # FILE VALUE
    local folder
    folder=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(replica_pid)/cgroup")
    while [ "$folder" != /sys/fs/cgroup ]; do
        [ "$(cat "$folder/$1" 2>/dev/null)" != "$2" ] || return 0
        folder=$(dirname "$folder")
    done
    return 1
}
# A user of the machine whom its owner has put into the group.
user_gets() {
    printf 'GET / HTTP/1.0\r\n\r\n' |
        HOME=/nowhere setpriv --reuid 4242 --regid 4242 --groups minga minga connect web/1 club --stdio | grep -q Minga
}
installed() {
    check "the package is installed" dpkg -i minga.deb
    check "all units run" wait_for 10 active
    check "no unit has failed" eval '[ -z "$(systemctl list-units --failed --no-legend)" ]'
    check "what the units allow is little: mingad" eval 'systemd-analyze security --threshold=12 mingad.service'
    check "what the units allow is little: minga-sandboxd" eval 'systemd-analyze security --threshold=50 minga-sandboxd.service'
    check "a community is founded" minga community create allotment
    make_bundle
    add_club
    check "a bundle is pushed" minga push /root/web
    check "its replica runs" minga start web --wait=300s
    pid=$(replica_pid)
    check "and answers" wait_for 5 answers
    check "a user in the group gets in at its port for members" user_gets
    # shellcheck disable=SC2046
    set -- $(club_not_on nowhere)
    check "who has no pass hears nothing there" stranger_gets_nothing "$2"
    check "the replica's memory has its limit" has_limit memory.max 33554432
    check "the replica's processes have their limit" has_limit pids.max 8
    check "its probes say that it is well" wait_for 15 well
    check "the replica is in the unit that nobody restarts" grep -q minga-replicas.service "/proc/$pid/cgroup"
}
# Whoever looks while mingad restarts waits; 1: somebody was refused.
looks_wait() {
    local looker said status=0
    (for _ in $(seq 20); do said=$(minga node 2>&1) || { echo "status $?: $said"; exit 1; }; done) &
    looker=$!
    systemctl restart mingad.service
    wait $looker || status=1
    return $status
}
looks_as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups minga node; }
stopped() {
    systemctl stop mingad.service
    check "mingad is stopped: nobody's look starts it again" eval 'sleep 1; ! looks_as_nobody && sleep 1 && ! systemctl -q is-active mingad.service'
    systemctl start mingad.service
    check "it is started again, and answers" eval 'wait_for 20 active && wait_for 20 looks_as_nobody'
}
frozen() { grep -qx "frozen 1" "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(replica_pid)/cgroup")/cgroup.events"; }
is_pausing() { minga --json node | jq -e '.state == "pausing"'; }
is_paused() { minga --json node | jq -e '.state == "paused"'; }
# Nobody sends it SIGCONT: systemd's watchdog ends it.
stands_still() {
    kill -STOP "$(systemctl show -p MainPID --value minga-sandboxd.service)"
    check "while minga-sandboxd stands still, pause --now is not called done" eval 'minga node pause --now; [ $? = 5 ] && is_pausing'
    check "systemd ends it and starts it again, and then all is frozen" wait_for 40 is_paused
    check "as the kernel says" frozen
    check "by the watchdog, as the journal says" eval 'journalctl -b | grep "minga-sandboxd.*Watchdog timeout"'
    check "nothing has failed for good" wait_for 10 active
    minga node resume
    check "after resume it answers" wait_for 15 answers
    check "the replica's process has stayed all the time" same_pid
}
restarted() {
    check "mingad is restarted: who looks meanwhile waits" looks_wait
    check "the replica's process stays" same_pid
    check "mingad knows it again" wait_for 15 running
    check "its port for members is served again" wait_for 15 user_gets
    systemctl restart minga-sandboxd.service
    check "minga-sandboxd is restarted: the replica's process stays" same_pid
    check "all units run again" wait_for 10 active
    check "it answers" wait_for 15 answers
    kill -9 "$(systemctl show -p MainPID --value mingad.service)"
    check "mingad is killed: systemd starts it again" wait_for 15 running
    check "the replica's process stays" same_pid
    kill -9 "$(systemctl show -p MainPID --value minga-sandboxd.service)"
    check "minga-sandboxd is killed: systemd starts it again" wait_for 15 answers
    check "the replica's process stays then, too" same_pid
    stands_still
    check "mingad reloads" systemctl reload mingad.service
    check "an upgrade is installed" dpkg -i newer.deb
    check "all units run after it" wait_for 10 active
    check "the replica's process stays over the upgrade" same_pid
    check "mingad knows the replica after the upgrade" wait_for 15 running
    # State in a newer form is refused by name (tests/system/test_durability.sh); in the same form it is safe.
    check "the version before is installed again" dpkg -i minga.deb
    check "all units run after that" wait_for 10 active
    check "the replica's process stays over the downgrade" same_pid
    check "mingad knows the replica after the downgrade" wait_for 15 running
    check "it has been well all the time, by its probes" eval 'wait_for 15 well && no_probe_failed'
    check "the journal can be asked for a service" eval 'journalctl -u mingad MINGA_SERVICE=web MINGA_EVENT=started | grep -q "web/1: runs"'
    check "and names the node with each line" eval '[ "$(journalctl -u mingad -o cat --output-fields=MINGA_NODE MINGA_EVENT=adopted | sort -u | grep -c .)" = 1 ]'
    check "the journal says nothing of secrets" eval '! journalctl -u mingad | grep -i "secret\|private key"'
}
booted() {
    check "after a reboot all units run" wait_for 20 active
    check "after a reboot the replica runs again" wait_for 60 running
    check "and answers" wait_for 30 answers
    check "and is well by its probes" eval 'wait_for 15 well && no_probe_failed'
}
cut() {
    check "after a power cut all units run" wait_for 20 active
    check "after a power cut the replica runs again" wait_for 60 running
    check "what was pushed is there" eval 'minga services | grep -q "^web "'
}
removed() {
    echo "# changed here" >>/etc/minga/minga.yaml
    check "the package is removed" dpkg -r minga
    check "no process is left" eval '! pgrep -l "mingad|minga-"'
    check "no replica is left" eval '[ -z "$(replica_pid)" ]'
    check "no group is left" eval '[ -z "$(find /sys/fs/cgroup -name "minga*")" ]'
    check "the configuration is kept" grep -q "changed here" /etc/minga/minga.yaml
    check "the membership is kept" [ -d /var/lib/minga/agent ]
    check "the package is purged" dpkg -P minga
    check "nothing is left of it" eval '! find / -xdev -not -path "/proc/*" -not -path "/var/lib/guest/*" -name "*minga*" -not -path "/root/.config/*" -not -path "/var/lib/systemd/*" -not -path "/var/cache/*" | grep .'
}
# What failed, for who reads the log.
give_up() {
    { minga status web; minga node; uptime; journalctl --no-pager -b -n 60; } 2>&1 | sed 's/^/# /'
    exit 1
}
case $GUEST_MARK in
"")
    installed
    restarted
    echo $failed >/var/lib/guest/failed
    [ $failed = 0 ] || give_up
    exec guest-reboot rebooted
    ;;
rebooted)
    booted
    [ $failed = 0 ] || give_up
    exec guest-crash cut
    ;;
cut)
    cut
    stopped
    removed
    exit $failed
    ;;
esac
