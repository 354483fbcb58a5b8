#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A memory hog, a CPU burner, a disk filler and a fork bomb: each is held at its limit and named,
# neighbours and agent go on. What asks for more than there is gets a reason.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 2
community_start

# bundle NAME SCRIPT [MANIFEST LINES] [RESTART]: busybox runs the script.
bundle() {
    "$here/../fixtures/make_script.sh" "$WORK/scripts/$1" "$2" "restart: ${4:-on-failure}" "$3"
    minga 1 push "$WORK/scripts/$1" >/dev/null
    minga 1 start "$1"
}
note_of() { minga 2 --json status "$1" | jq -r '.services[0].reason, (.services[0].replicas[].reason)' | tr '\n' ' '; }
says() { note_of "$1" | grep -ci "$2"; }
node_of() { number_of_name "$(minga 1 --json status "$1" | jq -r '.services[0].replicas[0].node_name')"; }

"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
minga 1 push "$WORK/web.tar.zst" >/dev/null
minga 1 start web
minga 1 scale web 2 --wait=20s
within 10 "the neighbour answers twice" all_answer 1 web 2

bundle hog 'x=$(tail /dev/zero); echo "$x"' ''
within 20 "a memory hog is ended and named" says hog 'out of memory: limit 32M'
minga 1 stop hog --wait=20s

bundle bomb 'f() { f | f & f; }; f; sleep 600' '' never
sleep 2
bomb_held() {
    local n
    n=$(pids_in_cgroup "$(node_of bomb)" | wc -l)
    [ "$n" -le 24 ] # sixteen of the bomb, the neighbour's and two inits
}
check "a fork bomb is held at its number of processes" bomb_held
check "the neighbour answers beside the bomb" all_answer 1 web 2
minga 1 stop bomb --wait=20s || fail "stop of the bomb"

bundle burner 'while :; do :; done' ''
sleep 2
cpu_ms() { cat /sys/fs/cgroup/cpuacct/"$(cgroup_of "$1")"/cpuacct.usage 2>/dev/null || awk '/usage_usec/ {print $2 * 1000}' /sys/fs/cgroup/"$(cgroup_of "$1")"/cpu.stat; }
where=$(node_of burner)
before=$(cpu_ms "$where")
sleep 5
used=$((($(cpu_ms "$where") - before) / 1000000))
if [ "$used" -ge 600 ] && [ "$used" -le 1250 ]; then pass "a CPU burner got $used ms of 5 s (limit 1000, neighbour included)"; else fail "a CPU burner got $used ms of 5 s"; fi
check "its measured use is shown" eval '[ "$(minga 1 --json status burner | jq ".services[0].replicas[0].cpu_cores <= 0.25")" = true ]'
minga 1 stop burner --wait=20s

bundle filler 'dd if=/dev/zero of=/fill bs=1M 2>&1; echo "wrote $(cat /fill | dd of=/dev/null bs=1M 2>&1 | tail -n 1)"; sleep 600' ''
within 15 "a disk filler is told that the disk is full" eval 'minga 2 logs filler | grep -ci "no space"'
check "it could not write more than its disk" eval '[ "$(minga 1 --json status filler | jq ".services[0].replicas[0] | .disk_bytes <= .disk_limit_bytes")" = true ]'
check "the neighbour answers beside the filler" all_answer 1 web 2
minga 1 stop filler --wait=20s

# --- more than there is
bundle big 'sleep 600' 'replicas: 2'
minga 1 stop big
sed -i 's/memory: 32M/memory: 300G/' "$WORK/scripts/big/service.yaml"
minga 1 push "$WORK/scripts/big" >/dev/null 2>&1
refused 5 memory "a request larger than any node is named" minga 1 start big --wait=5s
minga 1 stop big
sed -i 's/memory: 300G/memory: 400M/; s/^name: big/name: large/' "$WORK/scripts/big/service.yaml"
minga 1 push "$WORK/scripts/big" >/dev/null
minga 1 start large
minga 1 scale large 2
within 10 "two of 400M fit two nodes of 512M" has_running 2 large 2
sed -i 's/^name: large/name: more/' "$WORK/scripts/big/service.yaml"
minga 1 push "$WORK/scripts/big" >/dev/null
minga 1 start more
within 10 "what does not fit is degraded with its reason" eval 'says more "memory"'
check "the sum of promises stays within the contribution" eval '[ "$(minga 1 --json node | jq ".contribution.memory_bytes >= ([.replicas[].memory_limit_bytes] | add)")" = true ]'
minga 1 stop large --wait=20s
within 15 "when room appears it recovers without a command" has_running 2 more 2

for i in 1 2; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
