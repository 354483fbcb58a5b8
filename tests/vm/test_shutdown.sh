#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian 12 guest with logind and what the package recommends is told to reboot, and to sleep: its
# replica runs elsewhere (an agent in a namespace) before it goes.
# PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
cp "$package" "$payload/minga.deb"
cp "$here/guest_world.sh" "$payload/"
"$here/run_guest.sh" -t "${VM_SECONDS:-600}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_shutdown.sh"
