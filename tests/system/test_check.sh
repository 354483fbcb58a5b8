#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `minga check`: without an agent, as root and as anybody, on this machine and on worse ones.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-check-test.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
state() { jq -r --arg name "$1" '.checks[] | select(.name == $name) | .state' "$WORK/said"; }
# said STATUS SENTENCE COMMAND...: its document is kept.
said() {
    local status=$1 sentence=$2 got=0
    shift 2
    "$@" >"$WORK/said" 2>"$WORK/err" </dev/null || got=$?
    check "$sentence (status $got)" [ "$got" = "$status" ]
}

said 0 "this machine can run replicas" "$BIN/minga" --json check
check "and says so in a document" jq -e .run "$WORK/said"
for name in namespaces seccomp overlayfs "control groups" "id-mapped mounts" "loop devices" programs; do
    check "it has: $name" [ "$(state "$name")" = ok ]
done
# Newer kernels look for no module, and one that was built without runs nothing either.
formats=ok
if [ "$(printf '%s\n6.14\n' "$(uname -r)" | sort -V | head -n 1)" != 6.14 ] && grep -qs / /proc/sys/kernel/modprobe; then
    formats=missing
fi
check "whether files of no known format have it run modprobe: $formats" [ "$(state "files of no known format")" = "$formats" ]
cores=ok
case $(cat /proc/sys/kernel/core_pattern) in @*) cores=missing ;; esac
check "whether cores are given to a socket: $cores" [ "$(state cores)" = "$cores" ]
check "what is missing comes with its meaning and a cure" jq -e \
    '[.checks[] | select(.state == "missing") | select(.meaning == "" or .do == "")] == []' "$WORK/said"
check "as a table, too" eval '"$BIN/minga" check | grep -q "^control groups  *needed  *ok"'

said 0 "somebody who is not root may look" setpriv --reuid 65534 --regid 65534 --clear-groups "$BIN/minga" --json check
check "and is told what only root can tell" [ "$(state "loop devices")" = unknown ]

# shellcheck disable=SC2016
said 1 "a machine without control groups runs nothing" unshare --mount sh -c '
    umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t tmpfs none /sys/fs/cgroup && exec "$1" --json check' sh "$BIN/minga"
check "and it is named" [ "$(state "control groups")" = missing ]
check "the document says it in one word" jq -e '.run == false' "$WORK/said"
said 1 "nor one without mkfs.ext4" unshare --mount sh -c '
    : >"$2/none" && mount --bind "$2/none" "$(realpath /sbin/mkfs.ext4)" && exec "$1" --json check' sh "$BIN/minga" "$WORK"
check "and it is named, too" [ "$(state mkfs.ext4)" = missing ]
said 1 "nor one where nobody makes namespaces" unshare --user --map-root-user sh -c '
    echo 0 >/proc/sys/user/max_user_namespaces && exec "$1" --json check' sh "$BIN/minga"
check "and that is named" [ "$(state namespaces)" = missing ]
refused 1 "can run no replica" "on stderr it is one line" unshare --mount sh -c '
    : >"$2/none" && mount --bind "$2/none" "$(realpath /sbin/mkfs.ext4)" && exec "$1" check' sh "$BIN/minga" "$WORK"

# --- mingad --check-config with umask 002: a group that is its user's alone is nobody else
install -d -o 2001 -g 2001 -m 2775 "$WORK/home"
install -o 2001 -g 2001 -m 0664 /dev/null "$WORK/home/minga.yaml"
chmod 755 "$WORK"
# with_accounts GROUP_LINE [USER_LINE] COMMAND...: as alice, in a world where these are the accounts.
with_accounts() {
    printf 'root:x:0:0::/root:/bin/sh\nalice:x:2001:2001::/home/alice:/bin/sh\n%s\n' "$2" >"$WORK/passwd"
    printf 'root:x:0:\n%s\n' "$1" >"$WORK/group"
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && shift &&
        exec setpriv --reuid 2001 --regid 2001 --clear-groups "$@"' sh "$WORK" "${@:3}"
}
check_config=("$BIN/mingad" --config "$WORK/home/minga.yaml" --check-config)
bob=bob:x:2002:2002::/home/bob:/bin/sh
check "her own group is she" with_accounts alice:x:2001: "$bob" "${check_config[@]}"
check "and where it names her" with_accounts alice:x:2001:alice "$bob" "${check_config[@]}"
refused 1 "chmod go-w" "not with a second member" with_accounts alice:x:2001:alice,bob "$bob" "${check_config[@]}"
refused 1 "chmod go-w" "nor one that is another's primary group" \
    with_accounts alice:x:2001: bob:x:2002:2001::/home/bob:/bin/sh "${check_config[@]}"
refused 1 "chmod go-w" "nor one of another name" with_accounts users:x:2001: "$bob" "${check_config[@]}"
refused 1 "chmod go-w" "nor one that is not known" with_accounts users:x:2003: "$bob" "${check_config[@]}"
printf 'rules:\n  - name: evening\n    when: {}\n    then: {replicas: freeze}\n' >"$WORK/home/minga.yaml"
check "a rule without a condition is pointed out" eval \
    'with_accounts alice:x:2001: "$bob" "${check_config[@]}" | grep -q "evening.* acts at all times"'
printf 'rules:\n  - name: evening\n    when: {in_use: 10m}\n    then: {replicas: freeze}\n' >"$WORK/home/minga.yaml"
check "one with a condition is not" eval \
    '[ "$(with_accounts alice:x:2001: "$bob" "${check_config[@]}")" = "the configuration is fine" ]'
no_config() { unshare --mount sh -c '[ ! -e /etc/minga ] || mount -t tmpfs none /etc/minga; exec "$1" --check-config' sh "$BIN/mingad"; }
check "where there is no file, that is said" eval 'no_config | grep -q "there is no /etc/minga/minga.yaml"'
