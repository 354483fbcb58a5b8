#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The package in a Debian 12 guest: installed, used, upgraded, rebooted, removed, purged.
# PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
cp "$package" "$payload/minga.deb"
# The same, said to be newer.
dpkg-deb -R "$payload/minga.deb" "$payload/newer"
sed -i 's/^Version: .*/&+newer/' "$payload/newer/DEBIAN/control"
dpkg-deb --root-owner-group -Znone -b "$payload/newer" "$payload/newer.deb" >/dev/null
rm -rf "$payload/newer"
"$here/run_guest.sh" -t "${VM_SECONDS:-800}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_package.sh"
