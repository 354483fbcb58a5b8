#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The sandbox's system test in a Debian 12 guest: kernel 6.1, systemd, cgroup v2 alone.
# BIN: the built programs. IMAGE: the guest's folder (see build_image.sh).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=${BIN:?BIN must name the folder of the built programs}
IMAGE=${IMAGE:?IMAGE must name the folder of the guest}
payload=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
trap 'rm -rf "$payload"' EXIT
mkdir "$payload/bin"
cp "$BIN/minga-sandboxd" "$BIN/minga-init" "$BIN/system_sandbox_driver" "$payload/bin/"
cp "$here/../system/test_sandbox.sh" "$payload/"
cat >"$payload.cmd" <<'GUEST'
grep -q '^cgroup2 /sys/fs/cgroup cgroup2' /proc/self/mounts && echo "ok - the guest has cgroup v2 alone"
cp -a bin test_sandbox.sh /run/
BIN=/run/bin sh /run/test_sandbox.sh
GUEST
trap 'rm -rf "$payload" "$payload.cmd"' EXIT
"$here/run_guest.sh" -t 500 -m 1024 -p "$payload" "$IMAGE" "$payload.cmd"
