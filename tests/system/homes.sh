# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Homes: behind a router of its own that masquerades (nftables), each with the same private
# addresses, as real ones are. Source it after community.sh; HOME_OF[I] names the home of node I
# (none: it stands on the Internet, which is 10.77.0.0/24 and 2001:db8:77::/64 here).
#
#   home_new NAME HOST_NUMBER   the router, 10.77.0.HOST_NUMBER outside, 192.168.1.1 inside; made
#                               when the first node of NAME is, with HOME_AT[NAME]
#   home_plug HOME NAME HOST    a namespace with a cable to that router: 192.168.1.HOST
#   home_maps HOME natpmp|upnp|nothing   what that router opens ports by (miniupnpd)
#   home_mapped HOME            how many ports it has opened
#
# HOME_HOST[I] is node I's own number there (10).

packages_need nftables

declare -A HOME_OF=() HOME_AT=() HOME_HOST=() MAPPER_PID=()

home_new() {
    local ns switch
    ns=$(ns_of "$1") switch=$(ns_of switch)
    MORE_NAMESPACES+=("$1")
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    ip -n "$ns" link add wan type veth peer name "port$2" netns "$switch"
    ip -n "$switch" link set "port$2" master bridge up
    ip -n "$ns" addr add "10.77.0.$2/24" dev wan
    ip -n "$ns" link set wan up
    ip -n "$ns" link add lan type bridge
    ip -n "$ns" addr add 192.168.1.1/24 dev lan
    ip -n "$ns" link set lan up
    # Inside the namespace only: forwarding, masquerading, and nothing comes in by itself.
    nsenter --net="/run/netns/$ns" sysctl -qw net.ipv4.ip_forward=1
    nsenter --net="/run/netns/$ns" nft -f - <<'RULES'
table ip home {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
    chain through {
        type filter hook forward priority filter; policy drop;
        iifname "lan" accept
        ct state established,related accept
        ct status dnat accept
    }
    chain to_router {
        type filter hook input priority filter; policy accept;
        iifname "wan" ct state new drop
    }
}
RULES
}

home_plug() {
    local ns router
    ns=$(ns_of "$2") router=$(ns_of "$1")
    [ -e "/run/netns/$router" ] || home_new "$1" "${HOME_AT[$1]}"
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    ip -n "$ns" link add eth0 type veth peer name "to$2" netns "$router"
    ip -n "$router" link set "to$2" master lan up
    ip -n "$ns" addr add "192.168.1.$3/24" dev eth0
    ip -n "$ns" link set eth0 up
    ip -n "$ns" route add default via 192.168.1.1
}

# As node_new, but at home where HOME_OF says so, and with addresses found by the agent itself.
node_new() {
    local i=$1 dir home=${HOME_OF[$1]:-}
    dir=$(dir_of "$i")
    if [ -n "$home" ]; then
        home_plug "$home" "$i" "${HOME_HOST[$i]:-10}"
    else
        ns_plug "$i" "$i"
    fi
    mkdir -p "$dir"
    chmod 755 "$dir"
    {
        echo "name: $(name_of "$i")"
        echo "network: {listen: 7400$(node_network "$i")}"
        echo "cgroup: $(cgroup_of "$i")"
        echo "paths: {state: $dir/state, run: $dir/run}"
        node_config "$i"
    } >"$dir/minga.yaml"
    chmod 644 "$dir/minga.yaml"
}

# reachable I J: how does node I say that node J is reached?
reachable() {
    minga "$1" --json nodes |
        jq -r --arg name "$(name_of "$2")" '.nodes[] | select(.node_name == $name) | .reachable'
}
is_reachable() { [ "$(reachable "$1" "$2")" = "$3" ]; }

# answer_from NAMESPACE I SERVICE N: do N replicas that node I locates answer someone there?
answer_from() {
    local count=0 place
    for place in $(minga "$2" locate "$3"); do
        in_node "$1" curl -sf --max-time 3 "http://$place/" >/dev/null && count=$((count + 1))
    done
    [ "$count" = "$4" ]
}

# Its address outside must not be a private one, as those here are: it calls itself another, which
# nobody is to believe anyway.
home_maps() {
    local ns config=$WORK/upnpd-$1.conf natpmp=no upnp=no
    ns=$(ns_of "$1")
    if [ -n "${MAPPER_PID[$1]:-}" ]; then
        kill "${MAPPER_PID[$1]}"
        wait "${MAPPER_PID[$1]}" 2>/dev/null || true
        unset "MAPPER_PID[$1]"
    fi
    [ "$2" != nothing ] || return 0
    [ "$2" != natpmp ] || natpmp=yes
    [ "$2" != upnp ] || upnp=yes
    nsenter --net="/run/netns/$ns" nft -f - <<'RULES'
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
    cat >"$config" <<CONFIG
ext_ifname=wan
ext_ip=11.22.33.201
listening_ip=lan
enable_natpmp=$natpmp
enable_upnp=$upnp
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
CONFIG
    nsenter --net="/run/netns/$ns" miniupnpd -d -f "$config" -P "$WORK/upnpd-$1.pid" \
        >"$WORK/upnpd-$1.log" 2>&1 </dev/null &
    MAPPER_PID[$1]=$!
}
home_mapped() {
    nsenter --net="/run/netns/$(ns_of "$1")" nft list chain inet filter prerouting_miniupnpd |
        grep -c dnat || true
}
