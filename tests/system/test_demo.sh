#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ./dev demo --keep: the community stays, the lines that it prints work, and so does the one that
# ends it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
now_ms() { date +%s%3N; }
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
wait_until() {
    local end=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(now_ms)" -lt "$end" ] || return 1
        sleep 0.1
    done
}
log=$(mktemp)
demo=
end() {
    [ -z "$demo" ] || { kill "$demo" 2>/dev/null && wait "$demo"; } || true
    rm -f "$log"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

"$here/demo.sh" --keep >"$log" 2>&1 &
demo=$!
within 60 "the demo says how to end what it keeps" grep -q '^End it:' "$log"
line() { sed -n "s/^$1 *//p" "$log"; }
folder=$(line Folders: | sed 's|/n1 .*||')
id=$(basename "$folder" | sed 's/^minga-\(mg[0-9]*\)\..*/\1/')
# Nothing that the test brings along: only what the line says.
talk() { env -i PATH="$PATH" bash -euc "$(line 'Talk to it:')"; }
fetch() { env -i PATH="$PATH" bash -euc "$(line 'Talk to it:') >/dev/null; $(line 'Fetch pages:')"; }
check "the line that talks to it shows three replicas" eval '[ "$(talk | grep -c "web/.*running")" = 3 ]'
check "the line that fetches a page brings one" eval 'fetch | grep -i allotment'
check "its folders are there" [ -f "$folder/n5/minga.yaml" ]
killer=$(line 'End it:' | sed 's/.*or: //')
check "the line that ends it is a kill of the demo" [ "$killer" = "kill $demo" ]
eval "$killer"
gone() { ! kill -0 "$demo"; }
within 30 "it ends" gone
wait "$demo" || true
demo=
names() { ip netns | grep "^$id-" || true; }
groups() { find /sys/fs/cgroup -maxdepth 6 -type d -name "minga-$id-*"; }
processes() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        { tr '\0' ' ' <"$file" | grep -F -e "$folder/" -e "--pid=${killer#kill } "; } 2>/dev/null || true
    done
}
nothing() { [ -z "$1" ] || { echo "# $1"; return 1; }; }
check "no network namespace is left" eval 'nothing "$(names)"'
check "no cgroup is left" eval 'nothing "$(groups)"'
within 3 "no process is left" eval 'nothing "$(processes)"'
check "no mount or loop device is left" eval 'nothing "$(grep -F "$folder" /proc/self/mounts; losetup -a | grep -F "$folder")"'
check "no folder is left" [ ! -e "$folder" ]
