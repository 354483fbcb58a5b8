# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC3043
# A home and the Internet around a guest, of namespaces; sourced, after guest_checks.sh.
#
#   this guest, neighbour -- 192.168.1.0/24, 2a00:77:1::/64 -- router -- 93.0.0.0/24, 2a00:77:2::/64 -- internet
#
# The router masquerades and lets nothing in by itself; it opens ports when it is asked to, by
# miniupnpd (router_maps). Everybody in the home has a public address of IPv6, too.

in_ns() {
    local name="$1"
    shift
    ip netns exec "$name" "$@"
}
cable() { # NS DEVICE NS DEVICE; "" is the guest itself
    ip ${1:+-n "$1"} link add "$2" type veth peer name "$4" netns "$3"
    ip ${1:+-n "$1"} link set "$2" up
    ip -n "$3" link set "$4" up
}
at_home() { # NS NUMBER; "" is the guest itself
    cable "$1" lan0 router "to-${1:-guest}"
    ip -n router link set "to-${1:-guest}" master lan
    ip ${1:+-n "$1"} addr add "192.168.1.$2/24" dev lan0
    ip ${1:+-n "$1"} addr add "2a00:77:1::$2/64" dev lan0 nodad
    ip ${1:+-n "$1"} route add default via 192.168.1.1
    ip ${1:+-n "$1"} -6 route add default via 2a00:77:1::1
}
world_new() {
    local name
    for name in router neighbour internet; do
        ip netns add $name
        ip -n $name link set lo up
    done
    ip -n router link add lan type bridge
    ip -n router link set lan up
    ip -n router addr add 192.168.1.1/24 dev lan
    ip -n router addr add 2a00:77:1::1/64 dev lan nodad
    ip -n router addr add 169.254.169.254/32 dev lo
    at_home "" 10
    at_home neighbour 9
    cable router wan internet wan
    ip -n router addr add 93.0.0.1/24 dev wan
    ip -n router addr add 2a00:77:2::1/64 dev wan nodad
    ip -n internet addr add 93.0.0.9/24 dev wan
    ip -n internet addr add 2a00:77:2::9/64 dev wan nodad
    ip -n internet addr add 10.9.9.9/32 dev lo
    ip -n internet -6 route add default via 2a00:77:2::1
    ip -n router route add 10.0.0.0/8 via 93.0.0.9
    in_ns router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    in_ns router nft -f - <<'RULES'
table inet home {
    chain out {
        type nat hook postrouting priority srcnat;
        meta nfproto ipv4 oifname "wan" masquerade
    }
    chain through {
        type filter hook forward priority filter; policy drop;
        iifname "lan" accept
        ct state established,related accept
        ct status dnat accept
    }
    chain to_router {
        type filter hook input priority filter; policy accept;
        iifname "wan" ct state new meta l4proto { tcp, udp } drop
    }
}
RULES
}
# Who is there says its name to whoever connects: see internet.py.
hosts_new() {
    in_ns internet python3 internet.py internet 80 25 465 587 udp:9000 >>/run/hosts.log 2>&1 &
    in_ns neighbour python3 internet.py neighbour 80 udp:9000 >>/run/hosts.log 2>&1 &
    in_ns router python3 internet.py router 80 udp:9000 dns:192.168.1.1:93.0.0.9 >>/run/hosts.log 2>&1 &
    python3 internet.py guest 8099 udp:9000 >>/run/hosts.log 2>&1 &
    echo "nameserver 192.168.1.1" >/etc/resolv.conf
}

mapper=
router_maps() { # natpmp|upnp|nothing: by what the router opens ports, its tables empty
    local natpmp=no upnp=no
    [ -z "$mapper" ] || { kill "$mapper"; wait "$mapper"; mapper=; } 2>/dev/null
    case $1 in
    natpmp) natpmp=yes ;;
    upnp) upnp=yes ;;
    nothing) return ;;
    esac
    in_ns router nft -f - <<'RULES'
table inet filter
delete table inet filter
table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain forward { type filter hook forward priority filter + 10; jump miniupnpd; }
    chain prerouting { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority srcnat + 10; jump postrouting_miniupnpd; }
}
RULES
    cat >/run/upnpd.conf <<CONFIG
ext_ifname=wan
listening_ip=lan
enable_natpmp=$natpmp
enable_upnp=$upnp
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
CONFIG
    # exec: the pid must be its own.
    (exec ip netns exec router miniupnpd -d -f /run/upnpd.conf -P /run/upnpd.pid) >>/run/upnpd.log 2>&1 </dev/null &
    mapper=$!
}
mapped_count() { in_ns router nft list chain inet filter prerouting_miniupnpd | grep -c dnat; }
mapped() { [ "$(mapped_count)" = "$1" ] || { mapped_count; tail -n 5 /run/upnpd.log; return 1; }; }

# A member on the Internet, started by hand: member_new NAME ADDRESS PORT; logs as NAME to the journal.
member_new() {
    mkdir -p "/srv/$1"
    cat >"/srv/$1/minga.yaml" <<YAML
name: $1
network: {listen: $3, advertise: "$2:$3"}
contribute: {cpu: "0.5", memory: 128M, disk: 128M, storage: 256M, keep_free: 0%, pids: 64}
cgroup: minga-$1
paths: {state: /srv/$1/state, run: /srv/$1/run}
YAML
    # Not `ip netns exec`, which hides control groups.
    # Nor does it hear of the guest's sleep: it plays another machine.
    (DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent exec nsenter --net=/run/netns/internet systemd-cat -t "$1" /usr/lib/minga/mingad --config "/srv/$1/minga.yaml") </dev/null &
}
minga_of() { # NAME ARGUMENTS...
    local name="$1"
    shift
    minga --socket "/srv/$name/run/agent.sock" "$@"
}
