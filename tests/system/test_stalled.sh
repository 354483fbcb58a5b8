#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A member that asks for all chunks there are and reads none of them (independent/liar.py): who has them keeps no
# more of them in memory than a few, and another member gets a whole bundle meanwhile.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
BUNDLE_MIB=${BUNDLE_MIB:-96}
GROWTH_MIB_MAX=${GROWTH_MIB_MAX:-40}

# Two keep chunks, the third one fetches them.
node_config() {
    local roles='store, manage'
    [ "$1" != 3 ] || roles=run
    echo "roles: [$roles]"
    echo 'contribute: {cpu: "1.0", memory: 256M, disk: 512M, storage: 512M, keep_free: 0%, pids: 256}'
}
community_new 3
# shellcheck source=tests/system/stranger.sh
. "$here/stranger.sh"
places 1 5 8
stranger_new f
stranger_joins liar.py

mkdir "$WORK/big"
cp /bin/busybox "$WORK/big/"
echo hello >"$WORK/big/index.html"
head -c "${BUNDLE_MIB}M" /dev/urandom >"$WORK/big/data"
printf '%s\n' 'name: big' 'command: [/busybox, httpd, -f, -p, "8080", -h, /]' 'ports: [{name: http, container: 8080}]' \
    "resources: {cpu: 0.5, memory: 32M, disk: 4M, pids: 16}" >"$WORK/big/service.yaml"
minga 1 push "$WORK/big" >/dev/null || fail "push"
chunks_of() { (cd "$(dir_of "$1")/state/agent/chunks" && find . -type f -printf '%f\n' | grep -xE '[0-9a-f]{64}'); }
has_all() { [ "$(chunks_of 2 | wc -l)" = "$(chunks_of 1 | wc -l)" ]; }
within 20 "both have all chunks" has_all
chunks_of 1 | sort >"$WORK/chunks"
check "there are many" test "$(wc -l <"$WORK/chunks")" -ge "$((BUNDLE_MIB / 2))"

memory_mib() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/${AGENT_PID[$1]}/status"; }
before1=$(memory_mib 1) before2=$(memory_mib 2)
check "one asks for all of them" ask stall "$WORK/chunks"
sleep 3
grown1=$(($(memory_mib 1) - before1)) grown2=$(($(memory_mib 2) - before2))
echo "# $grown1 and $grown2 MiB more memory"
check "what it does not read is not kept for it" test "$grown1" -le "$GROWTH_MIB_MAX" -a "$grown2" -le "$GROWTH_MIB_MAX"
check "... but it has had some" test "$((grown1 + grown2))" -ge 2
minga 1 start big --wait=60s >/dev/null || fail "start of what another one has to fetch"
within 5 "another one gets all of the bundle meanwhile, and runs it" all_answer 1 big 1
check "those who have it see all members" eval 'sees_members 1 4 && sees_members 2 4'
stranger_kill
for i in 1 2 3; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
