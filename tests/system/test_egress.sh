#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `egress: internet`: the Internet is open to a replica that asks for it on a node that gives it,
# and nothing else is: not the LAN (with public addresses, too), not the router, the host itself,
# the metadata address, nor mail. Namespaces play all of them.
# One of minga-try: some look whether anything of `minga try` is left on this machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
node_network() { [ "$1" != 1 ] || echo ", egress: internet"; }

packages_need python3-minimal libpython3-stdlib socat passt

# node 1 -- 11.22.33.0/24 -- router -- 93.0.0.0/24 -- the Internet
#                  \-- a neighbour on the LAN
resolver=$(awk '$1 == "nameserver" && $2 ~ /^[0-9.]+$/ {print $2; exit}' /etc/resolv.conf)
HOSTS=()
cable() { # cable NS DEVICE NS DEVICE
    ip -n "$(ns_of "$1")" link add "$2" type veth peer name "$4" netns "$(ns_of "$3")"
    ip -n "$(ns_of "$1")" link set "$2" up
    ip -n "$(ns_of "$3")" link set "$4" up
}
address() { ip -n "$(ns_of "$1")" addr add "$3" dev "$2" ${4:+"$4"}; }
route() { ip -n "$(ns_of "$1")" route replace default via "$2"; }
host() { # host NS WORDS...: see internet.py
    # Not in_node: the pid must be its own, not that of a shell around it.
    nsenter --net="/run/netns/$(ns_of "$1")" /usr/bin/python3 "$here/../fixtures/internet.py" "$@" \
        >>"$WORK/hosts.log" 2>&1 </dev/null &
    HOSTS+=($!)
}
hosts_end() { kill_pids TERM "${HOSTS[@]}"; }
world_new() {
    local name
    for name in lan router neighbour internet; do
        ip netns add "$(ns_of "$name")"
        ip -n "$(ns_of "$name")" link set lo up
    done
    ip -n "$(ns_of lan)" link add bridge type bridge
    ip -n "$(ns_of lan)" link set bridge up
    for name in 1 router neighbour; do
        cable "$name" lan0 lan "to-$name"
        ip -n "$(ns_of lan)" link set "to-$name" master bridge
    done
    cable router wan0 internet wan0
    in_node router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    address 1 lan0 11.22.33.2/24
    address 1 lan0 2a00:77:1::2/64 nodad
    address neighbour lan0 11.22.33.9/24
    address neighbour lan0 2a00:77:1::9/64 nodad
    address router lan0 11.22.33.1/24
    address router lan0 2a00:77:1::1/64 nodad
    address router lo 169.254.169.254/32
    address router lo 192.168.1.1/32
    address router wan0 93.0.0.1/24
    address router wan0 2a00:77:2::1/64 nodad
    address internet wan0 93.0.0.9/24
    address internet wan0 2a00:77:2::9/64 nodad
    address internet lo 10.9.9.9/32
    for name in 1 neighbour; do
        route "$name" 11.22.33.1
        ip -n "$(ns_of "$name")" -6 route replace default via 2a00:77:1::1
    done
    route internet 93.0.0.1
    ip -n "$(ns_of internet)" -6 route replace default via 2a00:77:2::1
    ip -n "$(ns_of router)" route add 10.0.0.0/8 via 93.0.0.9
    case $resolver in
    127.*) host 1 "dns:$resolver:93.0.0.9" ;;
    *)
        address internet lo "$resolver/32"
        ip -n "$(ns_of router)" route replace "$resolver/32" via 93.0.0.9
        host internet "dns:$resolver:93.0.0.9"
        ;;
    esac
    host internet 80 25 465 587 udp:9000 big:8064
    host neighbour 80 udp:9000
    host router 80 53 udp:9000
    host 1 8099 udp:9000
}
world_end() {
    local name
    hosts_end
    for name in lan router neighbour internet; do ip netns del "$(ns_of "$name")" 2>/dev/null || true; done
}

community_new 2
AT_END=world_end
world_new
community_start
fixtures=$here/../fixtures
python=$(realpath /usr/bin/python3)
"$fixtures/make_bundle.sh" "$WORK/walker.tar.zst" "$fixtures/services/walker.yaml" \
    "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$fixtures/walker.py=/srv/walker.py"
minga 1 push "$WORK/walker.tar.zst" >/dev/null || fail "push walker"
minga 1 start walker >/dev/null || fail "start walker"
runs_on_oak() { [ "$(minga 2 --json status walker | tr -d ' \n' | grep -o '"node_name":"[a-z]*"')" = '"node_name":"oak"' ]; }
within 20 "a replica runs on the node that gives egress, none on the other" runs_on_oak
check "status says why there is no second" eval 'minga 2 status walker | grep -q "way to the Internet"'

within 20 "it is healthy" minga 2 locate walker --port control
place=$(minga 2 locate walker --port control | head -n 1)
go() { in_node user timeout 10 socat -t8 - "TCP:$place" <<<"$*"; }
opens() { # opens TEXT WAY...: and is seen from the node's address
    local text=$1 said
    shift
    said=$(go "$@")
    if [[ $said == "open $text"* ]]; then pass "open: $* ($said)"; else fail "open: $* ($said)"; fi
}
closed() {
    local said
    said=$(go "$@")
    if [[ $said == closed* ]]; then pass "closed: $* ($said)"; else fail "closed: $* ($said)"; fi
}
reaches() { [[ $(go tcp 93.0.0.9 80) == open* ]]; }
within 5 "the Internet is reached" reaches
opens "internet sees ::ffff:11.22.33.2" tcp 93.0.0.9 80
opens "internet sees 2a00:77:1::2" tcp 2a00:77:2::9 80
opens "internet heard hello" udp 93.0.0.9 9000
opens "internet heard hello" udp 2a00:77:2::9 9000
opens "93.0.0.9" name www.example.org
opens "$((64 << 20))" bulk 93.0.0.9 8064
for port in 25 465 587; do closed tcp 93.0.0.9 "$port"; done
# The neighbour and the router, by their public addresses and by the private ones.
closed tcp 11.22.33.9 80
closed tcp 2a00:77:1::9 80
closed udp 11.22.33.9 9000
closed tcp 11.22.33.1 80
closed tcp 11.22.33.1 53
closed tcp 192.168.1.1 80
closed tcp 169.254.169.254 80
closed tcp 10.9.9.9 80
closed tcp "$resolver" 80
# The host itself: its addresses, its loopback, by way of the stand-ins, of passt's own tricks.
for own in 11.22.33.2 2a00:77:1::2 10.77.0.1 127.0.0.1 ::1 192.0.0.1 192.0.0.2 0.0.0.0 ::ffff:11.22.33.2; do
    closed tcp "$own" 8099
done
closed udp 11.22.33.2 9000
closed udp 192.0.0.1 9000
# Other members.
closed tcp 10.77.0.2 7400
closed udp 224.0.0.251 5353
closed udp 255.255.255.255 9000

# A network that comes later is closed at once.
address 1 lan0 93.0.0.77/28
address neighbour lan0 93.0.0.78/28
closed_now() { [[ $(go tcp 93.0.0.78 80) == closed* ]]; }
within 3 "a network that comes later is closed, too" closed_now
address 1 lan0 94.0.0.1/24
opens "internet sees" tcp 93.0.0.9 80

egress_pids() { pids_in_cgroup 1 | while read -r pid; do
    case $(tr '\0' ' ' <"/proc/$pid/cmdline") in *minga-egress*|*passt*) echo "$pid" ;; esac
done; }
check "the helpers of egress have no rights and are no user of the host" eval '
    [ -n "$(egress_pids)" ] && for pid in $(egress_pids); do cat "/proc/$pid/status"; done |
    awk "/^CapEff:/ && \$2 != \"0000000000000000\" {bad = 1} /^Uid:/ && \$2 < 1879048192 {bad = 1}
         END {exit bad}"'
stack=$(for pid in $(egress_pids); do case $(tr '\0' ' ' <"/proc/$pid/cmdline") in /usr/bin/passt*) echo "$pid" ;; esac; done)
# shellcheck disable=SC2086 # there may be two: passt and what it has forked
kill_pids KILL $stack
within 5 "a stack that dies is started again" reaches
egress_is() { minga 2 --json status walker | tr -d ' \n' | grep -q "\"egress\":\"$1\""; }
within 10 "status says that the replica has egress" egress_is internet
check "also in the table" eval 'minga 2 status walker | grep -q "egress: internet"'
main=$(egress_pids | sed -n 1p)
kill_pids KILL "$main"
within 20 "status says when the way to the Internet has died" egress_is lost
minga 1 stop walker --wait=20s >/dev/null || fail "stop walker"
check "nothing of it is left" is_empty pids_in_cgroup 1

# --- minga try: the same way out, without a community; whoever tries it is its volunteer
for i in 1 2; do node_stop "$i"; done
place=127.0.0.1:18732
walk() { in_node 1 timeout 10 socat -t8 - "TCP:$place" <<<"$*"; }
try_start() { # try_start BUNDLE
    # Not in_node: the pid must be its own, not that of a shell around it.
    nsenter --net="/run/netns/$(ns_of 1)" "$BIN/minga" try "$1" --port "${place#*:}" >"$WORK/try.out" 2>"$WORK/try.err" </dev/null &
    TRY=$!
}
try_stop() { kill -INT "$TRY" 2>/dev/null || true; wait "$TRY" || true; }
tried() { walk tcp 93.0.0.9 80 | grep -q '^open internet sees'; }
try_traces() {
    find /sys/fs/cgroup -maxdepth 6 -name 'minga-try-*' 2>/dev/null
    find /var/lib/minga/try /run/minga/try -mindepth 1 -maxdepth 1 2>/dev/null
}
try_start "$WORK/walker.tar.zst"
within 20 "minga try: the Internet is reached" tried
walks() { [[ $(walk "${@:2}") == "$1"* ]]; }
check "so are its names" walks "open 93.0.0.9" name www.example.org
for way in "tcp 11.22.33.9 80" "tcp 11.22.33.1 80" "tcp 169.254.169.254 80" "tcp 192.168.1.1 80" \
    "tcp 11.22.33.2 8099" "tcp 127.0.0.1 8099" "tcp 192.0.0.1 8099" "udp 11.22.33.9 9000" "tcp 93.0.0.9 25"; do
    # shellcheck disable=SC2086 # words
    check "but not: $way" walks closed $way
done
try_stop
within 5 "nothing of it is left" is_empty try_traces

sed 's/^egress:.*//' "$fixtures/services/walker.yaml" >"$WORK/inside.yaml"
"$fixtures/make_bundle.sh" "$WORK/inside.tar.zst" "$WORK/inside.yaml" \
    "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$fixtures/walker.py=/srv/walker.py"
try_start "$WORK/inside.tar.zst"
kept_inside() { [[ $(walk tcp 93.0.0.9 80) == closed* ]]; }
within 20 "who does not ask for egress has none" kept_inside
try_stop

# passt is not there: a person is told what to do.
# shellcheck disable=SC2016
unshare --mount --propagation private sh -c 'mount --bind /dev/null /usr/bin/passt && exec "$@"' sh \
    nsenter --net="/run/netns/$(ns_of 1)" timeout 20 "$BIN/minga" try "$WORK/walker.tar.zst" \
    --port "${place#*:}" >"$WORK/try.out" 2>"$WORK/try.err" </dev/null && fail "it runs without passt"
check "without passt it says what to install" grep -q "install the package passt" "$WORK/try.err"
within 5 "nothing of these is left" is_empty try_traces
