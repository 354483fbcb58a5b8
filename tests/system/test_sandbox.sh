#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Real sandboxes on this machine: serving, limits, ends, adoption, refusals, no leftovers.
# As root. BIN: folder of the built programs. With arguments, only these parts of the driver.
set -eu

if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # skip: not root"
    exit 0
fi
here=$(cd "$(dirname "$0")" && pwd)
BIN=$(cd "${BIN:-$here/../../build/release/bin}" && pwd)
folder=$(mktemp -d /var/tmp/minga-sandbox.XXXXXX)
driver=

# Also when the driver died: its helper ends every sandbox when told so.
clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$driver" ]; then
        kill -KILL "$driver" 2>/dev/null || true
    fi
    if [ -f "$folder/helper.pid" ]; then
        helper=$(cat "$folder/helper.pid")
        if [ "$(readlink "/proc/$helper/exe" || true)" = "$BIN/minga-sandboxd" ]; then
            kill -TERM "$helper" || true
            for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                [ -e "/proc/$helper/stat" ] || break
                sleep 0.25
            done
        fi
    fi
    if [ "$status" -ne 0 ] && [ -f "$folder/helper.log" ]; then
        sed 's/^/# helper: /' "$folder/helper.log" | tail -n 60
    fi
    rm -rf "$folder"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

"$BIN/system_sandbox_driver" "$folder" "$BIN" "$@" &
driver=$!
wait "$driver"
