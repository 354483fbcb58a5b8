#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Another execution environment behind the same door: the toy of examples/ passes the suite of the
# real one, and whatever its program does, minga-environment stays and nothing is left.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
if [ "$(id -u)" != 0 ] || ! [ -x /usr/bin/python3 ]; then
    echo "# skipped: needs root and python3"
    exit 0
fi
folder=$(mktemp -d /var/tmp/minga-environment.XXXXXX)
trap 'rm -rf "$folder"' EXIT
chmod 711 "$folder"
install -D -m 755 -t "$folder/programs" "$here/../../examples/environment_toy.py" \
    "$here/environment_mad.py"
install -m 755 -t "$folder/programs" "$BIN/minga-environment"
# The programs where every user reaches them, wherever this tree lies.
status=0
for program in toy mad; do
    echo "# with $program"
    mkdir -m 711 "$folder/$program"
    part=table
    [ "$program" = toy ] || part=environment
    "$BIN/system_sandbox_driver" "$folder/$program" "$folder/programs" \
        "--environment=$folder/programs/environment_$program.py" "$part" || status=1
    if [ "$status" != 0 ]; then sed 's/^/# helper: /' "$folder/$program/helper.log"; fi
done
exit "$status"
