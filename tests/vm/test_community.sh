#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Three Debian 12 guests on one wire become a community by the package; one that runs a replica is cut
# from power, and the replica moves. PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
said=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-vm.XXXXXX")
guests=()
# shellcheck disable=SC2317 # by the trap
finish() {
    local pid
    for pid in "${guests[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${guests[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$payload" "$said"
}
trap finish EXIT
cp "$package" "$payload/minga.deb"
port=$((20000 + $$ % 10000))
for i in 1 2 3; do
    "$here/run_guest.sh" -c 1 -t 800 -m 512 -n "$port" -i "10.77.0.$i/24" -p "$payload" "$IMAGE" \
        "$here/guest_community.sh" >"$said/out.$i" 2>&1 &
    guests+=($!)
done
status=0
for i in 1 2 3; do
    wait "${guests[i - 1]}" || echo "$i $?" >>"$said/ended"
    sed "s/^\(ok\|not ok\) - /&guest $i: /" "$said/out.$i"
done
guests=()
# Who was cut from power could not say that it had ended; the others did.
off=$(awk '$2 == 125 {print $1}' "$said/ended" 2>/dev/null | xargs)
others=$(awk '$2 != 125 {print $1}' "$said/ended" 2>/dev/null | xargs)
if [ -z "$others" ] && { [ "$off" = 2 ] || [ "$off" = 3 ]; }; then
    echo "ok - guest $off was cut from power, and the others ended well"
else
    echo "not ok - one of guests 2 and 3 was cut from power (was: ${off:-none}), the others ended well (did not: ${others:-none})"
    status=1
fi
exit $status
