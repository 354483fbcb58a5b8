#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian 12 guest is cut from power again and again, in the middle of pushes and of starts of
# replicas, at random moments. VM_CUTS: how many of each (3). VM_SEED: the same moments again.
# PACKAGES: the folder with minga_*.deb. IMAGE: the guest's folder (see build_image.sh).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
PACKAGES=${PACKAGES:?PACKAGES must name the folder of the packages}
IMAGE=${IMAGE:?IMAGE must name the folder of the guest}
VM_CUTS=${VM_CUTS:-3}
VM_SEED=${VM_SEED:-$((RANDOM * 32768 + RANDOM))}
payload=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
trap 'rm -rf "$payload"' EXIT
cp "$PACKAGES"/minga_*.deb "$payload/minga.deb"
cp "$here/guest_checks.sh" "$payload/"
printf 'cuts=%s\nseed=%s\n' "$VM_CUTS" "$VM_SEED" >"$payload/cuts.env"
echo "# VM_SEED=$VM_SEED VM_CUTS=$VM_CUTS"
"$here/run_guest.sh" -t "${VM_SECONDS:-$((300 + 150 * VM_CUTS))}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_cuts.sh"
