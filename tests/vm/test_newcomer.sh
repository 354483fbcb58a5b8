#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The newcomer's walk: in a fresh Debian 12 guest, with the package and the volunteer's guide only, from
# the package to a running replica in five commands at most, typed as the guide has them.
# PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
cp "$package" "$payload/"
mapfile -d '' -t commands < <(python3 "$here/../tools/guide_commands.py" "$here/../../docs/volunteer.md" "First steps")
for i in "${!commands[@]}"; do printf '%s\n' "${commands[i]}" >"$payload/step-$((i + 1))"; done
status=0
# What is chained would be more than one command.
if [ ${#commands[@]} -ge 1 ] && [ ${#commands[@]} -le 5 ] && ! sed 's/ # .*//' "$payload"/step-* | grep -E '&&|;|\|'; then
    echo "ok - from the package to a running replica the guide has ${#commands[@]} commands, five at most"
else
    echo "not ok - from the package to a running replica the guide has five commands at most (has ${#commands[@]}, or chains)"
    status=1
fi
"$here/run_guest.sh" -t "${VM_SECONDS:-300}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_newcomer.sh" || status=$?
exit $status
