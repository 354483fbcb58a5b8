#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A member names itself by a name whose server never answers: the others go on as if nothing were.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

TOOLS=$BIN
community_new 4
echo "nameserver 10.77.0.250" >"$WORK/resolv.conf"
# A name server that takes questions and is silent.
nsenter --net="/run/netns/$(ns_of user)" python3 -c '
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.77.0.250", 53))
asked = open("'"$WORK/asked"'", "ab", buffering=0)
while True:
    asked.write(server.recv(2000) + b"\n")' >/dev/null 2>&1 &
server=$!
server_end() { kill "$server" 2>/dev/null || true; }
AT_END=server_end
for i in 1 2 3 4; do
    # shellcheck disable=SC2016
    AGENT_PREFIX[$i]="$WORK/with_resolver"
done
cat >"$WORK/with_resolver" <<SCRIPT
#!/bin/bash
exec unshare --mount --propagation private -- bash -c \
    'mount --bind "$WORK/resolv.conf" /etc/resolv.conf && exec "\$@"' bash "\$@"
SCRIPT
chmod 755 "$WORK/with_resolver"
sed -i 's/advertise: "[^"]*"/advertise: "slow.example.org:7400"/' "$(dir_of 4)/minga.yaml"
for i in 1 2 3 4; do node_start "$i"; done
community_form || fail "the community forms"
for i in 1 2 3; do within 20 "node $i sees all" eval "sees_members $i 4"; done

# Its end shows in a link; whether it has really gone they try to find out by dialling it.
agent_kill 4
for i in 1 2 3; do echo "$i ${AGENT_PID[$i]} $(socket_of "$i")"; done >"$WORK/list"
"$TOOLS/bench_overlay_probe" "$WORK/list" health 10 >"$WORK/health" 2>/dev/null &
probe=$!
sees_the_three() {
    [ "$(minga "$1" --json nodes | jq '[.nodes[] | select(.state == "up")] | length')" -ge 3 ]
}
unseen_count=0
while kill -0 "$probe" 2>/dev/null; do
    for i in 1 2 3; do sees_the_three "$i" || unseen_count=$((unseen_count + 1)); done
    sleep 0.2
done
wait "$probe"
figure() { awk -v name="$1" '$1 == name {print $2}' "$WORK/health"; }
echo "# worst answer $(figure worst_ms) ms, of members $(figure worst_member_ms) ms, $(figure failed) failed"
check "the name was asked for" grep -qa slow "$WORK/asked"
check "members answer each other meanwhile" [ "$(figure failed)" = 0 ]
check "and soon" [ "$(figure worst_member_ms)" -le 1000 ]
check "none of them was held for dead" [ "$unseen_count" = 0 ]
node_start 4
for i in 1 2 3; do within 20 "node $i sees all again" eval "sees_members $i 4"; done

begin_ms=$(now_ms)
node_stop 1
check "an agent ends while it asks for a name" [ $(($(now_ms) - begin_ms)) -lt 9000 ]
for i in 2 3 4; do node_stop "$i"; done
kill "$server"
wait "$server" 2>/dev/null || true
within 5 "nothing is left behind" is_empty leftovers
