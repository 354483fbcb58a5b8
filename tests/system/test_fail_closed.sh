#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A node whose kernel cannot hold a limit runs nothing and says so: to its owner by `minga node`,
# to the community by offering nothing. Started again with the limit, it runs replicas.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 1
without=$WORK/without-memory
cat >"$without" <<'END'
#!/bin/sh
if mountpoint -q /sys/fs/cgroup/memory; then
    umount -l /sys/fs/cgroup/memory
else
    umount -l /sys/fs/cgroup
fi
exec "$@"
END
chmod 755 "$without"
AGENT_PREFIX[1]="unshare --mount --propagation private $without"
node_start 1
minga 1 community create shut >/dev/null || fail "create a community"
node_says() { minga 1 --json node | jq -r "$1"; }
shut() { [ "$(node_says .state)" = "no sandbox" ]; }
within 10 "a node without a limit has no sandbox" shut
check "its owner is told what is missing and where to look" \
    eval 'node_says .reason | grep "minga check" | grep -Eiq "memory|control groups|cgroup"'
mkdir "$WORK/tiny"
cp /bin/busybox "$WORK/tiny/"
printf '%s\n' 'name: tiny' 'command: [/busybox, sleep, "1000"]' 'resources: {memory: 16M, disk: 4M}' \
    >"$WORK/tiny/service.yaml"
minga 1 push "$WORK/tiny" >/dev/null || fail "push"
# Without the warning of who is the only member, which comes before.
start_tiny() {
    local status=0
    minga 1 start tiny --wait=3s 2>"$WORK/said" || status=$?
    grep -v "one disk alone" "$WORK/said" >&2
    return $status
}
refused 5 "execution environment" "it offers nothing: status 5 and why" start_tiny
check "nothing was begun" eval '[ "$(node_says ".replicas | length")" = 0 ] && is_empty pids_in_cgroup 1'
node_stop 1

# Not even the groups' file system, as behind `ip netns exec`: the helper stays, and says so.
hidden=$WORK/without-groups
printf '#!/bin/sh\numount -l /sys/fs/cgroup\nexec "$@"\n' >"$hidden"
chmod 755 "$hidden"
AGENT_PREFIX[1]="unshare --mount --propagation private $hidden"
node_start 1
within 10 "a node without control groups has no sandbox" shut
stays 2 "its helper stays" eval '[ -n "$(helper_pids 1)" ]'
check "its owner is told" eval 'node_says .reason | grep -Eiq "control groups|cgroup"'
node_stop 1
AGENT_PREFIX[1]=
node_start 1
runs() { [ "$(minga 1 --json status tiny | jq -r '.services[0].running')" = 1 ]; }
within 20 "started again with the limit it runs the replica" runs
check "and is ready" eval '[ "$(node_says .state)" = ready ]'
