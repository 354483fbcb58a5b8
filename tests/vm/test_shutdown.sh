#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian 12 guest with logind and what the package recommends is told to reboot, and to sleep: its
# replica runs elsewhere (an agent in a namespace) before it goes.
# PACKAGES: the folder with minga_*.deb. IMAGE: the guest's folder (see build_image.sh).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
PACKAGES=${PACKAGES:?PACKAGES must name the folder of the packages}
IMAGE=${IMAGE:?IMAGE must name the folder of the guest}
payload=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
trap 'rm -rf "$payload"' EXIT
cp "$PACKAGES"/minga_*.deb "$payload/minga.deb"
cp "$here"/guest_{checks,world}.sh "$payload/"
"$here/run_guest.sh" -t "${VM_SECONDS:-600}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_shutdown.sh"
