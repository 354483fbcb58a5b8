# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# A community of real agents, each in a network namespace of its own behind one switch, for the
# demo, the system tests and the benchmark. Source it; then:
#
#   community_new 5            makes the namespaces and writes five configurations
#   node_start I               starts mingad I (which starts its minga-sandboxd) and waits for it
#   community_form             node 1 creates the community, all others join
#   community_start            all of them, by node_start, and community_form
#   packages_need NAME...      installs what a test needs
#   minga I ARGS...            the command, talking to agent I, as the service owner
#   node_kill I                SIGKILL to everything of node I: agent, helper, replicas
#   agent_kill I               SIGKILL to mingad alone;   node_stop I: SIGTERM, waits
#   node_disk I SIZE           before node_start: its state lies on a file system of its own
#   cable_cut I / cable_back I; split I... / split_heal I...
#   community_end              ends and removes everything; run by a trap on every way out, after the
#                              function of the test's own that AT_END names
#
# BIN names the folder of the programs. Only processes that were started here are ended, by pid.

BIN=${BIN:?BIN must name the folder of the built programs}
COMMUNITY_ID=mg$$
NODE_COUNT=0
WORK=
declare -A AGENT_PID=() AGENT_OPTIONS=() AGENT_PREFIX=()
MORE_NAMESPACES=() # of a test's own: removed at the end, too

say() { printf '%s\n' "$*" >&2; }

# packages_need NAME...: installs what is missing of these Debian packages.
packages_need() {
    local package failed=0
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
                --no-install-recommends "$package" >/dev/null || failed=1
    done
    return "$failed"
}

now_ms() { date +%s%3N; }

ns_of() { echo "$COMMUNITY_ID-$1"; }
dir_of() { echo "$WORK/n$1"; }
cgroup_of() { echo "minga-$COMMUNITY_ID-$1"; }
socket_of() { echo "$WORK/n$1/run/agent.sock"; }
address_of() { echo "10.77.0.$1"; }
name_of() {
    local names=(oak elm ash fir yew bay box haw sloe vine)
    echo "${names[$(($1 - 1))]:-n$1}"
}
# in_node I COMMAND...: not `ip netns exec`, which hides cgroup v1.
in_node() {
    local ns
    ns=$(ns_of "$1")
    shift
    nsenter --net="/run/netns/$ns" "$@"
}

minga() {
    local i=$1
    shift
    HOME=$WORK/home MINGA_SOCKET=$(socket_of "$i") "$BIN/minga" "$@"
}

community_new() {
    local i ns
    NODE_COUNT=$1
    WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-$COMMUNITY_ID.XXXXXX")
    chmod 755 "$WORK"
    mkdir "$WORK/home"
    trap community_end EXIT
    trap 'exit 130' INT TERM HUP
    programs_for_all
    ns=$(ns_of switch)
    ip netns add "$ns"
    ip -n "$ns" link add bridge type bridge
    ip -n "$ns" link set bridge up
    ip -n "$ns" link add island type bridge
    ip -n "$ns" link set island up
    for ((i = 1; i <= NODE_COUNT; i++)); do
        node_new "$i"
    done
    # The user's own place on the same network: requests come from here.
    ns_plug user 250
}

# mingad gives root up: in somebody's closed home folder it could not start minga-unpack.
programs_for_all() {
    setpriv --reuid 64321 --regid 64321 --clear-groups test -x "$BIN/minga-unpack" || {
        install -d "$WORK/bin"
        install "$BIN"/minga "$BIN"/mingad "$BIN"/minga-{egress,init,portmap,sandboxd,unpack} "$WORK/bin"
        BIN=$WORK/bin
    }
}

# ns_plug NAME HOST_NUMBER: a namespace with a cable to the switch.
ns_plug() {
    local ns switch
    ns=$(ns_of "$1") switch=$(ns_of switch)
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    ip -n "$ns" link add eth0 type veth peer name "port$2" netns "$switch"
    ip -n "$switch" link set "port$2" master bridge up
    ip -n "$ns" addr add "10.77.0.$2/24" dev eth0
    ip -n "$ns" link set eth0 up
}

# node_config I: what this test wants of node I; a test may redefine it.
node_config() {
    cat <<CONFIG
contribute: {cpu: "1.0", memory: 512M, disk: 512M, storage: 512M, keep_free: 0%, pids: 512}
CONFIG
}

# node_network I: further keys of its "network:", each with a comma in front; to be redefined too.
node_network() { :; }

node_new() {
    local i=$1 dir
    dir=$(dir_of "$i")
    ns_plug "$i" "$i"
    mkdir -p "$dir"
    chmod 755 "$dir"
    {
        echo "name: $(name_of "$i")"
        echo "network: {listen: 7400, advertise: \"$(address_of "$i"):7400\"$(node_network "$i")}"
        echo "cgroup: $(cgroup_of "$i")"
        echo "paths: {state: $dir/state, run: $dir/run}"
        # Replicas give way to others, and test machines are busy: here they do not.
        node_config "$i" | sed 's/^contribute: {/&weight: 100, /'
    } >"$dir/minga.yaml"
    chmod 644 "$dir/minga.yaml"
}

# node_disk I SIZE: a small disk, or (again) another size of it.
node_disk() {
    local state
    state=$(dir_of "$1")/state
    mkdir -p "$state"
    if mountpoint -q "$state"; then
        mount -o "remount,size=$2" "$state"
    else
        mount -t tmpfs -o "size=$2,mode=755" "minga-$COMMUNITY_ID" "$state"
    fi
}
disks_end() {
    local place
    while read -r _ place _; do umount "$place"; done \
        < <(grep "^minga-$COMMUNITY_ID " /proc/self/mounts)
}

# wait_until SECONDS COMMAND...: polls, bounded; false when it never held.
wait_until() {
    local end=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(now_ms)" -lt "$end" ] || return 1
        sleep 0.05
    done
}

# node_launch I: starts without waiting; AGENT_OPTIONS[I] are further options of its mingad,
# AGENT_PREFIX[I] is what starts it (prlimit ...).
node_launch() {
    local i=$1
    # Not in_node: the pid must be mingad's own, not that of a shell around it.
    # shellcheck disable=SC2086
    ${AGENT_PREFIX[$i]:-} nsenter --net="/run/netns/$(ns_of "$i")" "$BIN/mingad" --config "$(dir_of "$i")/minga.yaml" \
        ${AGENT_OPTIONS[$i]:-} \
        >>"$(dir_of "$i")/log" 2>&1 </dev/null &
    AGENT_PID[$i]=$!
}

node_start() {
    node_launch "$1"
    wait_until 60 minga "$1" node || {
        say "node $1 does not answer; its log:"
        tail -n 20 "$(dir_of "$1")/log" >&2
        return 1
    }
}

pids_in_cgroup() {
    find /sys/fs/cgroup -maxdepth 6 -type d -name "$(cgroup_of "$1")" -exec \
        find {} -name cgroup.procs \; 2>/dev/null | while read -r file; do
        cat "$file" 2>/dev/null || true
    done | sort -un
}

# The helpers are known by the folder that stands in their command line.
helper_pids() {
    { grep -lsz 'minga-sandboxd$' /proc/[0-9]*/cmdline | xargs -r grep -lsz "^$(dir_of "$1")/" |
        cut -d / -f 3; } || true
}

# is_empty COMMAND...: does it print nothing?
is_empty() { [ -z "$("$@")" ]; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

kill_pids() {
    local signal=$1 pid
    shift
    for pid in "$@"; do
        kill "-$signal" "$pid" 2>/dev/null || true
    done
}

agent_kill() {
    kill -KILL "${AGENT_PID[$1]}" 2>/dev/null || true
    wait "${AGENT_PID[$1]}" 2>/dev/null || true
    unset "AGENT_PID[$1]"
}

node_kill() {
    local helpers
    helpers=$(helper_pids "$1")
    # shellcheck disable=SC2046,SC2086
    kill_pids KILL ${AGENT_PID[$1]:-} $helpers $(pids_in_cgroup "$1")
    wait "${AGENT_PID[$1]:-}" 2>/dev/null || true
    unset "AGENT_PID[$1]"
    # shellcheck disable=SC2046
    kill_pids KILL $(pids_in_cgroup "$1")
}

node_stop() {
    kill -TERM "${AGENT_PID[$1]}"
    wait "${AGENT_PID[$1]}" 2>/dev/null || true
    unset "AGENT_PID[$1]"
}

cable_cut() { ip -n "$(ns_of switch)" link set "port$1" down; }
cable_back() { ip -n "$(ns_of switch)" link set "port$1" up; }

# split I...: these nodes are on an island of their own; split_heal I... brings them back.
split() { for i in "$@"; do ip -n "$(ns_of switch)" link set "port$i" master island; done; }
split_heal() { for i in "$@"; do ip -n "$(ns_of switch)" link set "port$i" master bridge; done; }

# sees_members I N: does node I know N members that are up?
sees_members() {
    [ "$(minga "$1" --json nodes | jq '[.nodes[] | select(.state == "up")] | length')" = "$2" ]
}

community_form() {
    local i
    minga 1 community create allotment >/dev/null
    minga 1 invite >"$WORK/token"
    for ((i = 2; i <= NODE_COUNT; i++)); do
        minga "$i" join --yes --token-file "$WORK/token" >/dev/null
    done
    for ((i = 1; i <= NODE_COUNT; i++)); do
        wait_until 60 sees_members "$i" "$NODE_COUNT" || {
            say "node $i does not see $NODE_COUNT members"
            return 1
        }
    done
}

community_start() {
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do
        node_start "$i"
    done
    community_form
}

# running I SERVICE: how many replicas run and are healthy, as node I sees it.
running() {
    minga "$1" --json status "$2" 2>/dev/null |
        jq '[.services[0].replicas[] | select(.state == "running" and .health == "ok")] | length'
}
has_running() { [ "$(running "$1" "$2")" = "$3" ]; }
# nodes_of I SERVICE: names of the nodes that run it.
nodes_of() {
    minga "$1" --json status "$2" |
        jq -r '.services[0].replicas[] | select(.state == "running") | .node_name'
}
# manager_of I SERVICE: name of the node that manages it.
manager_of() {
    local id
    id=$(minga "$1" --json status "$2" | jq -r '.services[0].manager')
    minga "$1" --json nodes | jq -r --arg id "$id" '.nodes[] | select(.node == $id) | .node_name'
}
# node_id I: the whole of it, as node 1 knows it.
node_id() { minga 1 --json nodes | jq -r --arg name "$(name_of "$1")" '.nodes[] | select(.node_name == $name) | .node'; }
number_of_name() {
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do
        [ "$(name_of "$i")" != "$1" ] || echo "$i"
    done
}

# answers HOST:PORT [PATH]: asks from the user's namespace.
answers() { in_node user curl -sf --max-time 2 "http://$1${2:-/}"; }
# all_answer I SERVICE N: do N located replicas answer?
all_answer() {
    local count=0 place
    for place in $(minga "$1" locate "$2"); do
        answers "$place" >/dev/null && count=$((count + 1))
    done
    [ "$count" = "$3" ]
}

# leftovers: one line for each thing of this community that is still there.
leftovers() {
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do
        pids_in_cgroup "$i" | sed "s/^/process in a cgroup of node $i: /"
        helper_pids "$i" | sed "s/^/helper of node $i: /"
        find /sys/fs/cgroup -maxdepth 6 -type d -name "$(cgroup_of "$i")" 2>/dev/null |
            sed 's/^/cgroup /'
    done
    losetup -a 2>/dev/null | grep -F "$WORK" | sed 's/^/loop device /'
    grep -F "$WORK" /proc/self/mounts | sed 's/^/mount /'
    true
}

# A killed node leaves a cgroup and images behind, as a machine after a power cut would: what the
# next start of its helper removes is removed here by hand.
remove_traces_of() {
    local group
    while read -r group; do
        find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done < <(find /sys/fs/cgroup -maxdepth 6 -type d -name "$(cgroup_of "$1")" 2>/dev/null)
}

community_end() {
    local i status=$?
    trap '' INT TERM HUP
    [ -z "${AT_END:-}" ] || "$AT_END" || true # here: were it in the trap, its status would be the test's
    for i in "${!AGENT_PID[@]}"; do
        kill -TERM "${AGENT_PID[$i]}" 2>/dev/null || true
    done
    for i in "${!AGENT_PID[@]}"; do
        wait_until 12 is_gone "${AGENT_PID[$i]}" || node_kill "$i"
        wait "${AGENT_PID[$i]}" 2>/dev/null || true
    done
    for ((i = 1; i <= NODE_COUNT; i++)); do
        # shellcheck disable=SC2046
        kill_pids TERM $(helper_pids "$i")
    done
    for ((i = 1; i <= NODE_COUNT; i++)); do
        # shellcheck disable=SC2046
        wait_until 5 is_empty helper_pids "$i" || kill_pids KILL $(helper_pids "$i")
        # shellcheck disable=SC2046
        kill_pids KILL $(pids_in_cgroup "$i")
        wait_until 2 is_empty pids_in_cgroup "$i" || true
        remove_traces_of "$i"
    done
    for i in user switch "${MORE_NAMESPACES[@]}" $(seq "$NODE_COUNT"); do
        ip netns delete "$(ns_of "$i")" 2>/dev/null || true
    done
    disks_end
    [ -n "${KEEP_WORK:-}" ] || rm -rf "${WORK:?}"
    trap - EXIT
    exit "$status"
}
