#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# packaging/emulate.sh ARCH QEMU COMMAND...
# Runs COMMAND, as root, where a program for ARCH (arm64, armhf) is started with QEMU, qemu-user-static's for it: said in
# a user namespace of its own (Linux 6.7), so that the machine's kernel does as before.
set -euo pipefail
arch=$1
qemu=$2
shift 2

# Bytes of a program's head (elf.h).
case $arch in
arm64) class='\x02' machine='\xb7' ;;
armhf) class='\x01' machine='\x28' ;;
*)
    echo "packaging/emulate.sh: no such architecture: $arch" >&2
    exit 2
    ;;
esac
rule=":minga-$arch:M::\x7fELF$class\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00$machine\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$qemu:F"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mkfifo "$work/gate"
mkdir "$work/binfmt"

# shellcheck disable=SC2016
unshare --user --mount sh -euc '
    read -r _ <"$1/gate"
    mount -t binfmt_misc none "$1/binfmt"
    printf %s "$2" >"$1/binfmt/register"
    shift 2
    exec "$@"
' sh "$work" "$rule" "$@" &
pid=$!
until [ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
# Root's ids there are root's here: only who is outside may write that down.
for file in gid_map uid_map; do echo "0 0 65536" >"/proc/$pid/$file"; done
echo >"$work/gate"
wait "$pid"
