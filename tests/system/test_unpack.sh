#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Hostile tarballs against minga-unpack: each refused with the rule's name, nothing outside the
# staging folder, no crash; harmless ones unpacked, with what was dropped said.
# Needs no root. BIN: the folder with minga-unpack.
set -u
here=$(cd "$(dirname "$0")" && pwd)
BIN=${BIN:-$here/../../build/release/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/minga-test-unpack.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
failed=0
outside=/tmp/minga-hostile

ok() { echo "ok - $1"; }
not_ok() {
    echo "not ok - $1"
    failed=1
}

# unpack FILE: status in $status, what was said in $work/said
unpack() {
    rm -rf "$work/box"
    mkdir -p "$work/box/staging"
    timeout 120 "$BIN/minga-unpack" unpack <"$1" >"$work/said" 2>"$work/errors" 3<"$work/box/staging"
    status=$?
}

refused() { # NAME PATTERN
    unpack "$work/tarballs/$1"
    if [ "$status" -ne 1 ]; then
        not_ok "$1 is refused (status $status: $(tail -1 "$work/said") $(head -1 "$work/errors"))"
    elif ! tail -1 "$work/said" | grep -aEq "^refused: .*($2)"; then
        not_ok "$1 is refused by its rule ($2), not by: $(tail -1 "$work/said")"
    elif [ "$(ls "$work/box")" != staging ] || [ -e "$outside" ]; then
        not_ok "$1 leaves nothing outside the staging folder"
    else
        ok "$1: $(tail -1 "$work/said" | cut -c1-90)"
    fi
}

fine() { # NAME PATTERN
    unpack "$work/tarballs/$1"
    if [ "$status" -ne 0 ]; then
        not_ok "$1 is unpacked (status $status: $(tail -1 "$work/said") $(head -1 "$work/errors"))"
    elif [ ! -f "$work/box/staging/service.yaml" ]; then
        not_ok "$1 has its manifest"
    elif [ "$2" != - ] && ! grep -aq "^note: .*$2" "$work/said"; then
        not_ok "$1 says: $2"
    elif [ -n "$(find "$work/box/staging" -perm /7000)" ]; then
        not_ok "$1 has no privileged bit left"
    else
        ok "$1 is unpacked"
    fi
}

if [ -e "$outside" ]; then
    echo "not ok - $outside is there before the test"
    exit 1
fi
python3 "$here/../fixtures/hostile_tarballs.py" "$work/tarballs" || exit 1
while IFS=$'\t' read -r name verdict said; do
    case $verdict in
    refused) refused "$name" "$said" ;;
    fine) fine "$name" "$said" ;;
    *) not_ok "the list of tarballs says $verdict" ;;
    esac
done <"$work/tarballs/list"

# A decompression bomb: 20 GiB of zeros in little, without a header that admits it.
unpack <(head -c 20G /dev/zero | gzip -1 2>/dev/null)
if [ "$status" -eq 1 ]; then
    ok "zeros without end are refused"
else
    not_ok "zeros without end are refused (status $status)"
fi

# While it waits for its input it is confined already.
mkfifo "$work/input"
rm -rf "$work/box" && mkdir -p "$work/box/staging"
"$BIN/minga-unpack" unpack <"$work/input" >"$work/said" 2>"$work/errors" 3<"$work/box/staging" &
pid=$!
exec 7>"$work/input"
for _ in $(seq 50); do
    grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status" && break
    sleep 0.1
done
if grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status" &&
    grep -q '^NoNewPrivs:[[:space:]]*1' "/proc/$pid/status"; then
    ok "the worker runs under a seccomp filter without new privileges"
elif grep -q __asan_init "$BIN/minga-unpack"; then
    ok "the worker runs under a seccomp filter # SKIP a build with sanitizers has none"
else
    not_ok "the worker runs under a seccomp filter without new privileges"
fi
exec 7>&-
wait "$pid"
pid=

exit $failed
