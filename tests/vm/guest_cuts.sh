#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What test_cuts.sh has done in the guest; runs again after each cut, with GUEST_MARK.
# shellcheck disable=SC3043,SC2317,SC2154
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
# shellcheck source=/dev/null
. ./cuts.env
kept=/var/lib/guest/cuts # written and synced before a cut is prepared
services="one two three"
ready_ms_goal=2000
ready_ms_max=15000 # emulated, beside much else

# What was acknowledged is noted on a disk of its own: a sync of the root file system would write
# what Minga itself may have forgotten to.
note() { # N
    printf noted | dd of=/dev/vdc bs=512 seek="$1" conv=sync oflag=direct status=none
}
noted() { dd if=/dev/vdc bs=512 skip="$1" count=1 iflag=direct status=none | grep -q noted; }
forget_notes() { dd if=/dev/zero of=/dev/vdc bs=512 count=8 oflag=direct status=none; }

now_ms() { date +%s%3N; }
keep() { # NAME VALUE
    echo "$2" >"$kept/$1"
}
draw_ms() { # MAX: of 0..MAX-1; the generator's state outlives cuts
    local state
    state=$((($(cat $kept/random) * 1103515245 + 12345) % 2147483648))
    keep random $state
    echo $((state / 1024 % $1))
}
number() { minga --json status "$1" 2>/dev/null | jq ".services[0].$2 // 0"; }
# Its page names the push that it came with.
page_is() { [ "$(curl -sf --max-time 3 "http://$(minga locate big --port http | head -n 1)/")" = "$1" ]; }
runs() { [ "$(number "$1" running)" = 1 ]; }
all_run() {
    local name
    for name in "$@"; do runs "$name" || { minga status "$name"; return 1; }; done
}
# Whose program runs, whatever Minga says of it.
program_count() { pgrep -c -f '^/bin/busybox httpd'; }
groups() { find /sys/fs/cgroup/system.slice/minga-replicas.service -mindepth 1 -type d; }
half_made() {
    find /var/tmp -mindepth 1 -name 'minga-*'
    find /var/lib/minga/agent/chunks -mindepth 1 | grep -Ev '/[0-9a-f]{64}$'
    find /var/lib/minga/agent/trees -mindepth 1 -maxdepth 1 | grep -Ev '/[0-9a-f]{64}$'
    find /var/lib/minga -name '*damaged*'
}
nothing_half_made() { ! half_made | grep .; }
# Loop devices, groups and programs of COUNT replicas, and no more.
belongings_of() { # COUNT
    local loops programs folders
    loops=$(losetup -n -O NAME | wc -l)
    programs=$(program_count)
    folders=$(($(groups | wc -l) - $(cat $kept/groups_idle)))
    echo "loop devices $loops, programs $programs, groups $folders ($(cat $kept/groups_each) each)"
    [ "$loops" = "$1" ] && [ "$programs" = "$1" ] && [ $folders = $(($1 * $(cat $kept/groups_each))) ]
}
stop_all() {
    local name
    for name in "$@"; do minga stop "$name" >/dev/null || return 1; done
    wait_for 60 belongings_of 0
}

make_big() { # ROUND: other data each time, else there is nothing to write
    local folder=/root/big
    rm -rf $folder && mkdir -p $folder/bin $folder/www
    cp /bin/busybox $folder/bin/
    head -c 8M /dev/urandom >$folder/www/data
    echo "$1" >$folder/www/index.html
    sed 's/^name: .*/name: big/' /root/web/service.yaml >$folder/service.yaml
    tar -C $folder -cf "/root/big-$1.tar" .
}
set_up() {
    local began name
    mkdir -p $kept
    keep random "$seed"
    keep round 1
    check "the package is installed" dpkg -i minga.deb
    check "all units run" wait_for 60 active
    check "a community is founded" minga community create allotment
    make_bundle
    make_big 0
    began=$(now_ms)
    check "a bundle is pushed" minga push /root/big-0.tar
    keep push_ms $(($(now_ms) - began))
    for name in $services; do
        sed -i "s/^name: .*/name: $name/" /root/web/service.yaml
        check "$name is pushed" minga push /root/web
    done
    keep groups_idle "$(groups | wc -l)"
    began=$(now_ms)
    for name in $services; do check "$name is started" minga start "$name"; done
    # shellcheck disable=SC2086
    check "they run" wait_for 90 all_run $services
    keep start_ms $(($(now_ms) - began))
    keep groups_each $((($(groups | wc -l) - $(cat $kept/groups_idle)) / 3))
    check "each has a loop device and groups" belongings_of 3
    # shellcheck disable=SC2086
    check "and nothing when they are stopped" stop_all $services
    echo "# a push takes $(cat $kept/push_ms) ms here, three starts $(cat $kept/start_ms) ms"
}

# Power goes in the middle of what follows.
cut_within() { # MARK MS
    local after_ms
    forget_notes
    after_ms=$(draw_ms "$2")
    echo "# $1 $(cat $kept/round): power goes after $after_ms of $2 ms"
    echo "$1" >/var/lib/guest/mark
    sync
    (sleep "$(printf '%d.%03d' $((after_ms / 1000)) $((after_ms % 1000)))"; echo b >/proc/sysrq-trigger) &
}
cut_a_push() {
    local round
    round=$(cat $kept/round)
    make_big "$round"
    cut_within push "$(cat $kept/push_ms)"
    minga push "/root/big-$round.tar" >/dev/null 2>&1 && note 1
    sleep 60
}
cut_a_start() {
    local name i=0
    cut_within start "$(cat $kept/start_ms)"
    for name in $services; do
        i=$((i + 1))
        minga start "$name" >/dev/null 2>&1 && note $i
    done
    sleep 60
}

ready_ms() { # UNIT: from its start until it says that it is ready
    local began_us ready_us
    began_us=$(systemctl show -p ExecMainStartTimestampMonotonic --value "$1")
    ready_us=$(journalctl -b -u "$1" MINGA_EVENT=ready -o json | head -n 1 | jq -r .__MONOTONIC_TIMESTAMP)
    echo $(((ready_us - began_us) / 1000))
}
ready_soon() { # UNIT
    local took_ms
    took_ms=$(ready_ms "$1") || return 1
    echo "# $1 was ready after $took_ms ms (goal: $ready_ms_goal)" >&3
    [ "$took_ms" -gt 0 ] && [ "$took_ms" -le $ready_ms_max ]
}
booted() { # WHAT
    check "$1: all units run" wait_for 60 active
    check "$1: minga-sandboxd is ready soon" ready_soon minga-sandboxd.service
    check "$1: mingad is ready soon" ready_soon mingad.service
}
after_push() {
    local round what
    round=$(cat $kept/round)
    what="push $round"
    booted "$what"
    check "$what: nothing half-made is left" wait_for 20 nothing_half_made
    check "$what: nothing runs that nobody started" belongings_of 0
    check "$what: the service is there" eval 'minga services | grep -q "^big "'
    check "$what: what is there can be started" minga start big --wait=300s
    check "$what: and has what a replica has, once" wait_for 20 belongings_of 1
    if noted 1; then
        echo "# it had been acknowledged"
        check "$what: what was acknowledged is there" wait_for 20 page_is "$round"
    else
        check "$what: what was there before is there, or the new one" \
            wait_for 20 eval "page_is $((round - 1)) || page_is $round"
    fi
    check "$what: stopped, nothing of it is left" stop_all big
    check "$what: the same push, again" minga push "/root/big-$round.tar"
    check "$what: can be started" minga start big --wait=300s
    check "$what: and is what runs then" wait_for 20 page_is "$round"
    check "$what: stopped again, nothing of it is left" stop_all big
    rm -f "/root/big-$round.tar"
}
after_start() {
    local what name i=0 acknowledged=
    what="start $(cat $kept/round)"
    booted "$what"
    for name in $services; do
        i=$((i + 1))
        noted $i && acknowledged="$acknowledged $name"
    done
    echo "# acknowledged:${acknowledged:- none}"
    # shellcheck disable=SC2086
    check "$what: what was acknowledged runs" wait_for 90 all_run $acknowledged
    for name in $services; do check "$what: $name is started, again" minga start "$name" --wait=300s; done
    check "$what: each has what a replica has, once" wait_for 20 belongings_of 3
    check "$what: nothing half-made is left" nothing_half_made
    # shellcheck disable=SC2086
    check "$what: stopped, nothing of them is left" stop_all $services
}
# next KIND: one more cut in a push or a start, or what comes after the last of them.
next() {
    [ $failed = 0 ] || give_up
    if [ "$(cat $kept/round)" -lt "$cuts" ]; then
        keep round $(($(cat $kept/round) + 1))
        "cut_a_$1"
    elif [ "$1" = push ]; then
        keep round 1
        cut_a_start
    fi
    exit 0
}
give_up() {
    { minga status; groups; losetup; half_made; journalctl --no-pager -b -n 60 -u mingad -u minga-sandboxd; } 2>&1 | sed 's/^/# /'
    exit 1
}

exec 3>&1
case $GUEST_MARK in
"")
    set_up
    [ $failed = 0 ] || give_up
    cut_a_push
    ;;
push) after_push && next push ;;
start) after_start && next start ;;
esac
