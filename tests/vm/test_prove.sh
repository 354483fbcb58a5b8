#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# minga check and minga prove in a Debian 12 guest, where systemd has made what they find: cgroup v2 alone.
# PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
cp "$package" "$payload/minga.deb"
"$here/run_guest.sh" -t "${VM_SECONDS:-600}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_prove.sh"
