#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The package in a Debian 12 guest: installed, used, upgraded, rebooted, removed, purged.
# PACKAGES: the folder with minga_*.deb. IMAGE: the guest's folder (see build_image.sh).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
PACKAGES=${PACKAGES:?PACKAGES must name the folder of the packages}
IMAGE=${IMAGE:?IMAGE must name the folder of the guest}
payload=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
trap 'rm -rf "$payload"' EXIT
cp "$PACKAGES"/minga_*.deb "$payload/minga.deb"
# The same, said to be newer.
dpkg-deb -R "$payload/minga.deb" "$payload/newer"
sed -i 's/^Version: .*/&+newer/' "$payload/newer/DEBIAN/control"
dpkg-deb --root-owner-group -Znone -b "$payload/newer" "$payload/newer.deb" >/dev/null
rm -rf "$payload/newer"
cp "$here/guest_checks.sh" "$payload/"
"$here/run_guest.sh" -t "${VM_SECONDS:-400}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_package.sh"
