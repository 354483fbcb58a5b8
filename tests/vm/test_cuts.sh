#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian 12 guest is cut from power again and again, in the middle of pushes and of starts of
# replicas, at random moments. VM_CUTS: how many of each (3). VM_SEED: the same moments again.
# PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
VM_CUTS=${VM_CUTS:-3}
VM_SEED=${VM_SEED:-$((RANDOM * 32768 + RANDOM))}
cp "$package" "$payload/minga.deb"
printf 'cuts=%s\nseed=%s\n' "$VM_CUTS" "$VM_SEED" >"$payload/cuts.env"
echo "# VM_SEED=$VM_SEED VM_CUTS=$VM_CUTS"
"$here/run_guest.sh" -t "${VM_SECONDS:-$((300 + 150 * VM_CUTS))}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_cuts.sh"
