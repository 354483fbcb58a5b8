#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What test_network.sh has done in the guest.
# shellcheck disable=SC3043,SC2317
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
# shellcheck source=tests/vm/guest_world.sh
. ./guest_world.sh

up() { [ "$(minga --json nodes | jq '[.nodes[] | select(.state == "up")] | length')" = "$1" ]; }
place_of() { minga_of fir locate walker --port control | head -n 1; }
runs_here() { [ "$(minga --json status walker | jq -r '.services[0].replicas[] | select(.state == "running" and .health == "ok").node_name')" = oak ]; }

# What the replica says of a way: "open WHAT" or "closed WHY".
go() { echo "$*" | busybox nc -w 10 "${place%:*}" "${place#*:}"; }
opens() { # TEXT WAY...
    local text="$1" said
    shift
    said=$(go "$@")
    case $said in
    "open $text"*) echo "ok - open: $* ($said)" ;;
    *) echo "not ok - open: $* ($said)"; failed=1 ;;
    esac
}
closed() {
    local said
    said=$(go "$@")
    case $said in
    closed*) echo "ok - closed: $* ($said)" ;;
    *) echo "not ok - closed: $* ($said)"; failed=1 ;;
    esac
}
reaches() { go tcp 93.0.0.9 80 | grep -q '^open internet'; }

found() {
    world_new
    hosts_new
    router_maps natpmp
    check "the package is installed" dpkg -i minga.deb
    cat >/etc/minga/minga.yaml <<'YAML'
name: oak
contribute: {cpu: 50%, memory: 25%, disk: 10%}
network: {egress: internet, port_mapping: auto}
YAML
    systemctl restart minga-sandboxd.service mingad.service
    member_new fir 93.0.0.9 7400
    check "all units run" wait_for 20 active
    check "a member on the Internet runs" wait_for 20 minga_of fir node
    minga_of fir community create allotment >/dev/null
    minga_of fir invite >/run/token
    check "it founds a community, and the guest joins" minga join --yes --token-file /run/token
    check "both are up" wait_for 30 up 2
    check "a bundle is pushed" minga push walker
    check "it is started where egress is given" minga start walker --wait=300s
    check "it runs here, and is healthy" wait_for 20 runs_here
}

ways_out() {
    place=$(place_of)
    place=192.168.1.10:${place##*:} # no router leads back into its own home
    check "the Internet is reached" wait_for 10 reaches
    opens "internet sees ::ffff:93.0.0.1" tcp 93.0.0.9 80
    opens "internet sees 2a00:77:1::10" tcp 2a00:77:2::9 80
    opens "internet heard hello" udp 93.0.0.9 9000
    opens "internet heard hello" udp 2a00:77:2::9 9000
    opens "93.0.0.9" name www.example.org
    for port in 25 465 587; do closed tcp 93.0.0.9 $port; done
    closed tcp 192.168.1.9 80
    closed tcp 2a00:77:1::9 80
    closed udp 192.168.1.9 9000
    closed tcp 192.168.1.1 80
    closed tcp 2a00:77:1::1 80
    closed udp 192.168.1.1 53
    closed tcp 169.254.169.254 80
    closed tcp 10.9.9.9 80
    for own in 192.168.1.10 2a00:77:1::10 127.0.0.1 ::1 192.0.0.1 0.0.0.0 ::ffff:192.168.1.10; do
        closed tcp $own 8099
    done
    closed udp 192.168.1.10 9000
    closed udp 224.0.0.251 5353
}

# --- what systemd's filters are for whom: asked from a shell that has entered the group
fetches() { # GROUP
    sh -c 'echo $$ >"/sys/fs/cgroup$0/cgroup.procs" && exec busybox nc -w 3 93.0.0.9 80' "$1" </dev/null | grep "^internet sees"
}
does_not() { ! "$@"; }
group_of_stack() { sed -n 's/^0:://p' "/proc/$(stack)/cgroup"; }
filters() {
    check "the stack is in the replica's group, not in the helper's" eval 'group_of_stack | grep "^/system.slice/minga-replicas.service/"'
    check "it runs without rights, as a user that the host has not" eval 'grep -qx "CapEff:[[:space:]]*0*" "/proc/$(stack)/status" && [ "$(stat -c %u "/proc/$(stack)")" -ge 1879048192 ]'
    check "what is there reaches the Internet: minga-egress decides, not systemd" fetches "$(group_of_stack)"
    check "so does mingad" fetches /system.slice/mingad.service
    check "minga-sandboxd itself can send nothing, whatever becomes of it" does_not fetches /system.slice/minga-sandboxd.service
    # A port is listened on by mingad: what it accepts counts as mingad's.
    check "the published port answers from the home" eval 'echo "tcp 93.0.0.9 80" | in_ns neighbour busybox nc -w 10 "${place%:*}" "${place#*:}" | grep "^open internet"'
}
stack() { pgrep -x passt || pgrep -x passt.avx2; }

# --- the router
mapping() { minga --json node | jq -r ".port_mapping$1"; }
opened_by() { # METHOD COUNT
    [ "$(mapping .state)" = open ] && [ "$(mapping .by)" = "$1" ] && mapped "$2"
}
seen_as() { minga_of fir --json nodes | jq -e --arg how "$1" '.nodes[] | select(.node_name == "oak") | .reachable == $how'; }
known_by() { minga_of fir --json nodes | jq -e --arg at "$1" '.nodes[] | select(.node_name == "oak") | .address == $at'; }
from_internet() { # the replica's port at the router
    local place
    place=$(place_of)
    case $place in 93.0.0.1:*) ;; *) echo "located at $place"; return 1 ;; esac
    echo "tcp 93.0.0.9 80" | in_ns internet busybox nc -w 10 "${place%:*}" "${place#*:}" | grep -q '^open internet'
}
router() {
    check "mingad.service has had its port opened, and the replica's" wait_for 120 opened_by pcp 2
    check "it is direct" wait_for 150 seen_as direct
    check "by its router's address" wait_for 10 known_by 93.0.0.1:7400
    check "the replica is reached from the Internet" wait_for 60 from_internet
    systemctl restart mingad.service
    check "a restart keeps the ports open" mapped 2
    check "and knows them" wait_for 40 opened_by pcp 2
    check "the way out outlives it" reaches
    systemctl restart minga-sandboxd.service
    check "it outlives a restart of minga-sandboxd" reaches
    router_maps natpmp
    check "a router that has forgotten and says so is asked again" wait_for 40 opened_by pcp 2
    kill "$(stack)"
    check "a stack that dies is started again, though the helper that began it has gone with its /tmp" wait_for 30 reaches
    check "in the same group" eval 'group_of_stack | grep "^/system.slice/minga-replicas.service/"'
    sed -i 's/port_mapping: auto/port_mapping: off/' /etc/minga/minga.yaml
    systemctl reload mingad.service
    check "off: a reload closes them" wait_for 20 mapped 0
    router_maps upnp
    sed -i 's/port_mapping: off/port_mapping: auto/' /etc/minga/minga.yaml
    systemctl reload mingad.service
    check "on again: a router that speaks UPnP only opens them, too" wait_for 120 opened_by upnp 2
    check "the replica is reached by these" wait_for 60 from_internet
    systemctl stop mingad.service
    check "stopped, it leaves nothing open" mapped 0
}
found
if [ $failed = 0 ]; then ways_out; filters; router; fi
check "no unit has failed" eval '[ -z "$(systemctl list-units --failed --no-legend)" ]'
if [ $failed != 0 ]; then
    { minga status walker; minga nodes; minga node; journalctl --no-pager -n 80 -t mingad -t minga-sandboxd -t fir; tail -n 20 /run/upnpd.log /run/hosts.log; } 2>&1 | sed 's/^/# /'
fi
router_maps nothing
exit $failed
