# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# A member of another implementation (independent/) beside the agents of community.sh: node 9, "ivy". Source it
# after community_new; then:
#
#   places DIGIT...          before node_start: agent I gets a key whose place on the ring begins with the I-th digit
#   stranger_new DIGIT       the same for the stranger, and its cable
#   stranger_start PROGRAM   node.py, or liar.py; ask COMMAND...   status FILTER (of jq)
#   stranger_joins PROGRAM   starts agents 1 to 3, forms their community, and starts it as the fourth member
#   agents_see N             do these three see so many members that are up?
#   is_ideal I...            have these, in the order of the ring, leases, and each other as neighbours?
#   answerer I KEY           who answers for it, as agent I finds out;   key DIGIT

here=${here:?the folder of the tests}
stranger=$WORK/stranger
mkdir "$stranger" "$WORK/python"
protoc -I "$here/../../overlay" --python_out="$WORK/python" protocol.proto
# Debian's own Python: its modules are not those of any other one.
python() { PYTHONPATH=$WORK/python PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$here/independent/$1" "${@:2}"; }

places() {
    local i=1 digit folder
    for digit in "$@"; do
        folder=$(dir_of "$i")/state/agent
        install -d -m 755 "${folder%/agent}"
        install -d -m 700 "$folder"
        python vectors.py seed "$digit" >"$folder/node.key"
        chmod 600 "$folder/node.key"
        chown -R "$(id -u minga 2>/dev/null || echo 64321)" "$folder"
        i=$((i + 1))
    done
}

stranger_new() {
    python vectors.py seed "$1" >"$stranger/node.seed"
    ns_plug stranger 99
    MORE_NAMESPACES+=(stranger)
}

stranger_start() {
    PYTHONPATH=$WORK/python PYTHONDONTWRITEBYTECODE=1 nsenter --net="/run/netns/$(ns_of stranger)" \
        /usr/bin/python3 "$here/independent/$1" "$stranger" 10.77.0.99:7400 ivy "$WORK/token" \
        >>"$stranger/log" 2>&1 </dev/null &
    AGENT_PID[9]=$!
}
stranger_joins() {
    NODE_COUNT=3 community_start
    minga 1 invite >"$WORK/token"
    stranger_start "$1"
    within 5 "it is let in by the token, and all see it" agents_see 4
    within 5 "it answers" ask status
}
agents_see() { sees_members 1 "$1" && sees_members 2 "$1" && sees_members 3 "$1"; }
stranger_kill() {
    kill -KILL "${AGENT_PID[9]}"
    stranger_gone
}
stranger_gone() {
    wait "${AGENT_PID[9]}" 2>/dev/null || true
    unset "AGENT_PID[9]"
}

ask() { python ask.py "$stranger" "$@"; }
status() { ask status | jq -r "$1"; }

# neighbours_of I: on one line who it is, its predecessor, its successors, and whether it has a lease.
neighbours_of() {
    if [ "$1" = 9 ]; then
        status '"\(.id) \(.predecessors[0]) \(.successors | join(" ")) \(if .leased then "held" else "none" end)"'
    else
        minga "$1" --json ring | jq -r '"\(.node) \(.predecessors[0]) \(.successors | join(" ")) \(.lease.state)"'
    fi
}
declare -A id=()
ids_note() {
    local i
    for i in "$@"; do
        if [ "$i" = 9 ]; then id[9]=$(status .id); else id[$i]=$(minga "$i" --json node | jq -r .node); fi
    done
}
is_ideal() {
    local k at wanted members=("$@") count=$#
    for ((at = 0; at < count; at++)); do
        wanted="${id[${members[$at]}]} ${id[${members[$(((at + count - 1) % count))]}]}"
        for ((k = 1; k < count; k++)); do wanted+=" ${id[${members[$(((at + k) % count))]}]}"; done
        [ "$(neighbours_of "${members[$at]}")" = "$wanted held" ] || return 1
    done
}
answerer() { minga "$1" --json lookup "$2" | jq -r .responsible; }
key() { printf '%s%063d' "$1" 0; }
