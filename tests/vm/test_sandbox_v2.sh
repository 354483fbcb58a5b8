#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The sandbox's system test in a Debian 12 guest: kernel 6.1, systemd, cgroup v2 alone. First with
# a helper that somebody starts by hand; then as a unit that is started again and again, its
# replicas in the delegated group of a unit of their own.
# BIN: the built programs. IMAGE: the guest's folder (see build_image.sh). PARTS: only these.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=${BIN:?BIN must name the folder of the built programs}
IMAGE=${IMAGE:?IMAGE must name the folder of the guest}
payload=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
trap 'rm -rf "$payload" "$payload.cmd"' EXIT
mkdir "$payload/bin"
cp "$BIN/minga-sandboxd" "$BIN/minga-init" "$BIN/system_sandbox_driver" "$payload/bin/"
cp "$here/../system/test_sandbox.sh" "$payload/"
echo "${PARTS:-}" >"$payload/parts"
cat >"$payload.cmd" <<'GUEST'
status=0
grep -q '^cgroup2 /sys/fs/cgroup cgroup2' /proc/self/mounts && ! grep -q ' cgroup rw' /proc/self/mounts &&
    echo "ok - the guest has cgroup v2 alone"
cp -a bin test_sandbox.sh /run/
parts=$(cat parts)
# A program for cores, as desktops have one: root's, and run whatever RLIMIT_CORE says, but for 1.
printf '#!/bin/sh\necho "$1" >>/run/cores\n' >/run/core-handler
chmod 755 /run/core-handler
echo '|/run/core-handler %P' >/proc/sys/kernel/core_pattern
sh -c 'ulimit -c 0; kill -SEGV $$'
sleep 1
[ -s /run/cores ] && echo "ok - the host's program for cores is run for a process of the host"
rm -f /run/cores
# shellcheck disable=SC2086
BIN=/run/bin sh /run/test_sandbox.sh --slow --kills=15 $parts || status=1
echo "# as units of systemd"
# shellcheck disable=SC2086
BIN=/run/bin sh /run/test_sandbox.sh --units --slow ${parts:-serving restarts} || status=1
[ ! -e /run/cores ] || { echo "not ok - the host's program for cores is run for no replica"; status=1; }
[ -z "$(systemctl list-units --failed --no-legend 'minga-*')" ] || { echo "not ok - no unit has failed"; status=1; }
exit $status
GUEST
"$here/run_guest.sh" -t "${VM_SECONDS:-700}" -m 1024 -p "$payload" "$IMAGE" "$payload.cmd"
