# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by tests of the package in a guest.
# PACKAGES: the folder with minga_*.deb. IMAGE: the guest's folder (see build_image.sh).
# $package is the one for that guest. What the guest is to find goes to $payload, which is removed when the test ends.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
PACKAGES=${PACKAGES:?PACKAGES must name the folder of the packages}
IMAGE=${IMAGE:?IMAGE must name the folder of the guest}
package=$(find "$PACKAGES" -name "minga_*_$(cat "$IMAGE/arch").deb" | sort | tail -n 1)
[ -n "$package" ] || { echo "not ok - there is no package for the guest in $PACKAGES"; exit 1; }
payload=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
trap 'rm -rf "$payload"' EXIT
cp "$here/guest_checks.sh" "$payload/"
