#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `minga prove`: what it tries is stopped on this machine, what proves nothing is not counted, and
# nothing is left behind.
# One of minga-try: some look whether anything of `minga try` is left on this machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-prove-test.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
unset MINGA_SOCKET
result() { jq -r --arg name "$1" '.attempts[] | select(.name == $name) | .result' "$WORK/proof"; }
shm_segments() { ipcs -m | grep -c '^0x' || true; }
traces() {
    find /sys/fs/cgroup -maxdepth 6 -name 'minga-try-*' 2>/dev/null
    find /var/lib/minga/try /run/minga/try -mindepth 1 -maxdepth 1 2>/dev/null
    find /dev/shm -name 'minga-prove-*'
}

segments=$(shm_segments)
status=0
timeout 300 "$BIN/minga" --json prove >"$WORK/proof" 2>"$WORK/err" </dev/null || status=$?
check "it says how it went with its exit status ($status)" [ "$status" = 0 ]
check "in one document" jq -e .summary "$WORK/proof"
jq -r '.attempts[] | select(.result == "open") | "# open: \(.group): \(.name): \(.detail)"' "$WORK/proof"
jq -r '.attempts[] | select(.result == "unsure") | "# unsure: \(.group): \(.name): \(.detail)"' "$WORK/proof"
jq -c .summary "$WORK/proof" | sed 's/^/# /'
check "more than 150 attempts were made and stopped" jq -e '.summary.stopped > 150' "$WORK/proof"
check "none came through" jq -e '.summary.open == 0' "$WORK/proof"
check "hardly any failed for a reason that says nothing" jq -e '.summary.unsure < 5' "$WORK/proof"
check "every attempt has a result" jq -e '[.attempts[] | select(.detail == "nothing was told")] == []' "$WORK/proof"
check "each group has some that were stopped" jq -e '[.attempts | group_by(.group)[] | map(select(.result == "stopped")) | length] | min > 3' "$WORK/proof"
for name in "a file of the host by its name" "the host's loopback" "an abstract socket of the host" \
    "a socket in a folder of the host" "System V memory of the host" "POSIX memory of the host" \
    "signal a process of the host" "more memory than the limit" "more memory, taken by a child" \
    "more memory, in locks on files" "more memory, in connections" "more memory, in connections that nobody accepts" "write another map of projects" "cores for a program of the host's" "devices that are the host's own" \
    "join a group of listeners" "a bomb of forks" "output without end" "io_uring_setup" "boot id of the host"; do
    check "stopped, and there outside: $name" [ "$(result "$name")" = stopped ]
done
check "the processor's limit is held" [ "$(result "more processor than the limit")" = stopped ]
check "what this machine has not is not counted" jq -e '.summary.absent > 0' "$WORK/proof"
within 5 "nothing is left behind" is_empty traces
check "no shared memory either" [ "$(shm_segments)" = "$segments" ]

# --- the probe itself
for kind in "try" "hog memory"; do
    # shellcheck disable=SC2086
    check "it refuses to run outside of a sandbox: $kind" eval '! "$BIN/minga-probe" '"$kind"
    check "also as another user: $kind" eval '! setpriv --reuid 65534 --clear-groups "$BIN/minga-probe" '"$kind"
done
refused 3 "only root" "somebody else than root cannot make a sandbox" setpriv --reuid 65534 --clear-groups "$BIN/minga" prove
