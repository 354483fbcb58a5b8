#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Who gets in and who does not: invitations, tokens, admission without the founder, expulsion,
# rights of local users, and garbage on the port.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 5
for i in 1 2 3 4 5; do node_start "$i"; done
refused 1 community "a node of no community has no members to show" minga 1 members
minga 1 community create allotment >/dev/null
refused 1 already "a second community on the same node is refused" minga 1 community create other

minga 1 invite >"$WORK/token"
check "a token is one word" eval '[ "$(wc -w <"$WORK/token")" = 1 ]'
minga 2 join --yes --token-file "$WORK/token" >/dev/null
within 5 "two members" sees_members 1 2

# --- tokens that do not let in; nothing changes
belongs() { minga "$1" --json node | jq -e '.community != null and .community != ""'; }
python3 - "$WORK/token" "$WORK/tampered" <<'PY'
import sys
token = open(sys.argv[1]).read().strip()
middle = len(token) // 2
token = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
open(sys.argv[2], "w").write(token + "\n")
PY
refused 1 token "a tampered token is refused" minga 3 join --yes --token-file "$WORK/tampered"
echo "not a token" >"$WORK/nonsense"
refused 1 token "nonsense is refused as a token" minga 3 join --yes --token-file "$WORK/nonsense"
refused 1 "No such file" "a token file that is not there" minga 3 join --yes --token-file "$WORK/nothing"
minga 1 invite --expires 1s >"$WORK/short"
sleep 2.2
refused 1 expired "an expired token is refused" minga 3 join --yes --token-file "$WORK/short"
check "a refused node belongs to nothing" eval '! belongs 3'
minga 1 invite --uses 1 >"$WORK/once"
minga 3 join --yes - <"$WORK/once" >/dev/null
within 5 "a token from stdin lets the first one in" sees_members 1 3
refused 1 "used up" "a used-up token is refused" minga 4 join --yes --token-file "$WORK/once"
check "and changed nothing" eval '! belongs 4 && sees_members 1 3'

# --- the founder's machine is off; the token, made now, names the other members too
minga 1 invite >"$WORK/token"
node_stop 1
within 5 "the others see the founder gone" eval 'sees_members 2 2'
minga 4 join --yes --token-file "$WORK/token" >/dev/null || fail "join with the founder's node off"
within 5 "admitted with the founder's node off" sees_members 2 3
node_start 1
within 10 "the founder learns of the new member" sees_members 1 4

# --- expulsion
victim=$(node_id 4)
minga 1 expel "$victim" >/dev/null
expelled() { [ "$(minga "$1" --json nodes | jq -r '.nodes[] | select(.node == "'"$victim"'") | .state')" = expelled ]; }
for i in 1 2 3; do within 5 "node $i knows of the expulsion" expelled "$i"; done
node_stop 4
node_start 4
sleep 1
check "an expelled node stays out after a restart" expelled 2
minga 4 leave --yes >/dev/null || fail "an expelled node may leave"
refused 1 expelled "an expelled node is not let in again" minga 4 join --yes --token-file "$WORK/token"
check "up members are three" sees_members 1 3
refused 4 "" "expelling an unknown node ends with 4" minga 1 expel ffffffffffff

# --- leave; what a reload has brought stays in effect
sed -i 's/memory: 512M/memory: 64M/; $a zone: attic' "$(dir_of 3)/minga.yaml"
gives() { [ "$(minga "$1" --json node | jq .contribution.memory_bytes)" = "$2" ]; }
kill -HUP "${AGENT_PID[3]}"
within 5 "a reload gives less" gives 3 $((64 << 20))
minga 3 leave --yes >/dev/null || fail "leave"
within 5 "a node that left is gone" sees_members 1 2
check "and belongs to nothing" eval '! belongs 3'
check "it gives what it gave last, not what it gave at its start" gives 3 $((64 << 20))
minga 3 join --yes --token-file "$WORK/token" >/dev/null || fail "join after leaving"
within 5 "and may join again" sees_members 1 3
check "in its zone of the reload" eval '[ "$(minga 1 --json nodes | jq -r ".nodes[] | select(.zone == \"attic\") | .node_name")" = "$(name_of 3)" ]'

# --- rights of local users
install -d -o 4242 -g 4242 "$WORK/nobody"
as_nobody() { setpriv --reuid 4242 --regid 4242 --clear-groups env HOME="$WORK/nobody" MINGA_SOCKET="$(socket_of "${NOBODY_ASKS:-1}")" "$BIN/minga" "$@"; }
check "any local user may look" as_nobody nodes
NOBODY_ASKS=5 refused 3 "only root" "an unprivileged user may not join, and is told so before a token is read" \
    as_nobody join --yes --token-file "$WORK/nothing"
NOBODY_ASKS=5 refused 3 "only root" "nor found a community" as_nobody community create other
check "and no key was made for that" eval '[ -z "$(find "$WORK/nobody" -name "*.key")" ]'
as_nobody key >/dev/null 2>&1
NOBODY_ASKS=5 refused 3 "" "with a token neither" as_nobody join --yes --token-file "$WORK/token"
refused 3 "" "an unprivileged user may not pause the node" as_nobody node pause

# --- garbage on the port
garbage() {
    in_node user python3 - <<'PY'
import os, socket
for size in (0, 1, 10, 64, 1000, 100000):
    for _ in range(5):
        s = socket.create_connection(("10.77.0.1", 7400), 2)
        s.settimeout(0.3)
        try:
            s.sendall(os.urandom(size))
            s.recv(100)
        except OSError:
            pass
        s.close()
# a right greeting, then nonsense
s = socket.create_connection(("10.77.0.1", 7400), 2)
s.sendall(b"\xff" + b"\0" * 8 + b"\x7f\x03\x01CURVE" + b"\0" * 15 + b"\0" + b"\0" * 31 + os.urandom(5000))
s.close()
PY
}
pid=${AGENT_PID[1]}
check "garbage is accepted by the port" garbage
check "and nothing happens" eval 'kill -0 '"$pid"' && sees_members 1 3 && sees_members 2 3'

# --- a member's machines
person() { HOME=$WORK/$1 MINGA_SOCKET=$(socket_of "$2") "$BIN/minga" "${@:3}"; }
mkdir "$WORK/other"
beginning=$(minga 1 --json nodes | jq -r '.nodes[] | select(.self) | .owner[0:8]')
named=${beginning:0:3} # a name that another's owner id begins with
person other 5 join --yes --token-file "$WORK/token" --owner-name "$named" >/dev/null || fail "join of another owner"
within 5 "a second owner's machine is one more" sees_members 2 4
names_of() { minga 2 --json nodes --owner "$1" | jq -r '[.nodes[] | select(.state == "up") | .node_name] | sort | join(" ")'; }
own=$(for i in 1 2 3; do name_of "$i"; done | sort | xargs)
table=$(minga 3 nodes --owner "$named" | awk 'NR > 1 {print $1}')
check "a member's machines are listed by the member's name, also if another's owner id begins so" [ "$(names_of "$named")" = "$(name_of 5)" ]
check "or by how the owner id begins" [ "$(names_of "$beginning")" = "$own" ]
check "as a table, too" [ "$table" = "$(name_of 5)" ]
refused 4 "no member" "a member that there is not" minga 1 nodes --owner nobody
refused 2 "empty" "nor is an empty name one" minga 1 nodes --owner ""

# --- told to end just after leaving
ends_well() { is_gone "${AGENT_PID[5]}" && wait "${AGENT_PID[5]}"; }
minga 5 leave --yes >/dev/null &
leaving=$!
until grep -q "left the community" "$(dir_of 5)/log" || is_gone "$leaving"; do :; done
kill -TERM "${AGENT_PID[5]}" # within the moment that its farewell takes
wait "$leaving" || fail "leave"
within 2 "a node that has just left and is told to end does so" ends_well
agent_kill 5
left=$(dir_of 5)/state/agent/gone
mkdir -p "$left/0/tree" # as of a stop before all was deleted
touch "$left/0/tree/file"
chown -R --reference "$(dir_of 5)/state/agent" "$left"
node_start 5
check "and belongs to nothing" eval '! belongs 5'
within 5 "what it had not deleted yet goes after the next start" [ ! -e "$left" ]

for i in 1 2 3 4 5; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
