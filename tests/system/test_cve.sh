#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# How runc, crun, bubblewrap, containerd, docker, podman and snapd were broken in ten years, each
# with what would have caught it here. A row: the CVEs, then one or more of
#   prove:ATTEMPT     `minga prove` says that it is stopped (sandbox/prove)
#   driver:SENTENCE   a check of tests/system/sandbox_cves.c or sandbox_attacks.c
#   unit:PROGRAM      a unit test program that passes
#   script:NAME       a system test of its own, run by ./dev test system
# One of minga-try: some look whether anything of `minga try` is left on this machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-cve-test.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
unset MINGA_SOCKET
export BIN

rows() {
    cat <<'TABLE'
CVE-2024-21626 leaked descriptor, working directory outside (runc)|driver:no working directory leads to the host's files|prove:descriptors that were left open|prove:a working directory outside
CVE-2016-9962 exec traced from inside, by its descriptors (runc)|prove:attach to init|prove:list /proc/1/fd|prove:ptrace
CVE-2019-5736 the runtime's program overwritten by /proc/self/exe (runc)|driver:it is what it was|driver:and starts the next replica|prove:overwrite the program of init
CVE-2019-16884, CVE-2019-18837, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642 /proc of the image's making (runc, crun)|driver:a link in the tree changes nothing of what is made there
CVE-2021-30465, CVE-2024-45310 links while mounting (runc)|driver:a link in the tree changes nothing of what is made there|driver:and nothing is made on the host|driver:nor mounted there
CVE-2025-24965, CVE-2024-1753, CVE-2024-9341, CVE-2025-9566 a file is made or overwritten where the image has a link (crun, buildah, podman)|driver:a link in the tree changes nothing of what is made there|driver:and nothing is made on the host
CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 masked paths swapped for links (runc)|driver:a link in the tree changes nothing of what is made there|prove:uncover what is masked|prove:write /proc/sysrq-trigger|prove:write /proc/sys/kernel/core_pattern
CVE-2022-0492 release_agent (kernel, all without userns)|prove:write /sys/fs/cgroup/memory/release_agent|prove:mount control groups|prove:unshare a cgroup namespace
CVE-2016-8867, CVE-2022-24769, CVE-2022-27649, CVE-2022-27650, CVE-2022-27651, CVE-2022-29162 inheritable or ambient capabilities (docker, podman, crun, buildah, runc)|prove:inheritable capabilities|prove:bounding capabilities|prove:ambient capabilities|driver:a program of the tree with capabilities has none
CVE-2022-2989, CVE-2022-2990, CVE-2022-2995, CVE-2022-36109 supplementary groups (podman, buildah, cri-o, docker)|prove:groups of the host|driver:the tree's passwd and group name nobody
CVE-2016-3697 the user read from the image's passwd (runc, docker)|driver:the tree's passwd and group name nobody|unit:images_manifest
CVE-2017-5226, CVE-2016-7545 input typed into a terminal (bubblewrap, sandbox)|prove:type into a terminal (TIOCSTI)|prove:a terminal of the host
CVE-2019-10063 TIOCSTI with high bits (flatpak)|prove:type into a terminal (TIOCSTI, high bits)|unit:sandbox_seccomp
CVE-2023-1523, CVE-2023-28100 TIOCLINUX (snapd, flatpak)|prove:paste into a console (TIOCLINUX)
CVE-2021-43784 a length cut in netlink (runc)|unit:sandbox_request|unit:sandbox_spec|unit:sandbox_init_protocol
CVE-2020-15257 an abstract socket of the host (containerd)|prove:an abstract socket of the host
CVE-2019-12439 a folder for mounts that others can make first (bubblewrap)|driver:images, logs and records are in folders that only root can enter
CVE-2016-8659, CVE-2020-5291 a set-user-ID helper (bubblewrap)|driver:no program of ours raises who runs it
CVE-2021-41091 images below a folder that everybody can enter (docker)|driver:images, logs and records are in folders that only root can enter
CVE-2024-42472 a link in what is kept (flatpak, bubblewrap)|driver:a link in the tree changes nothing of what is made there
CVE-2017-16539, CVE-2018-10892 /proc/scsi, /proc/acpi (docker)|prove:list /proc/acpi|prove:list /proc/irq
CVE-2023-25809 /sys/fs/cgroup writable (rootless runc)|prove:list /sys/fs/cgroup|prove:list /sys
CVE-2018-15664, CVE-2019-18466, CVE-2019-14271 cp follows links, loads libraries from inside (docker, podman)|script:test_exec.sh|unit:sandbox_tree_copy
CVE-2022-1227, CVE-2016-8649, CVE-2016-10124 a command meant for inside runs with what is outside: the host's namespaces, descriptors, terminal (podman, lxc)|script:test_exec.sh
CVE-2022-31030, CVE-2022-1708, CVE-2025-64329 a command's output, or a session that is left, takes the daemon's memory (containerd, cri-o)|script:test_exec.sh|unit:sandbox_exec_protocol
CVE-2021-32760 unpacking changes files of the host by links (containerd)|script:test_unpack.sh|unit:sandbox_tree_copy
CVE-2017-14992 an archive that grows without end (docker)|script:test_unpack.sh
CVE-2018-20699 a huge number in a limit (docker)|unit:images_manifest|unit:sandbox_spec|unit:sandbox_request
CVE-2024-40635 a uid beyond the range becomes another one (containerd)|unit:images_manifest|unit:sandbox_spec
CVE-2022-4318 a line break in a text of the image adds a line to a file that is made (cri-o)|unit:sandbox_spec|driver:the tree's passwd and group name nobody
CVE-2022-0811 a setting of the kernel asked for by the image (cri-o)|prove:write /proc/sys/kernel/core_pattern|prove:write /proc/sys/kernel/shmmax
CVE-2025-4598, CVE-2025-5054, CVE-2022-28655 what crashes inside is looked at outside, by root (systemd-coredump, apport)|prove:cores for a program of the host's|unit:sandbox_seccomp
CVE-2022-0480 the kernel's memory, in what no limit counts|prove:more memory, in locks on files|prove:locks that are nobody's|unit:sandbox_locks|prove:more memory, in connections that nobody accepts|unit:sandbox_streams
CVE-2025-9074 the engine's own API is reachable from inside (docker)|prove:docker|prove:this machine's mingad|prove:this machine's minga-sandboxd|prove:the host's address on its network
CVE-2021-41133 calls newer than the filter (flatpak)|prove:list mounts|prove:attributes of a mount, newer way|prove:move_mount|unit:sandbox_seccomp
CVE-2024-25621, CVE-2021-41103 state that other users of the host can enter (containerd)|driver:images, logs and records are in folders that only root can enter
CVE-2021-33909, CVE-2022-0185, CVE-2023-0386 a kernel's mounts, by a user namespace|prove:unshare a user namespace|prove:fsopen|prove:clone3 into a user namespace|prove:mount an overlay
CVE-2021-22555, CVE-2024-1086 a kernel's firewall, by a user namespace|prove:netlink: routes and links|prove:unshare user and network namespaces
CVE-2020-13401, CVE-2020-14386 forged packets of a network, and a kernel's packet sockets, by CAP_NET_RAW (docker's default)|prove:packets|prove:raw IPv4|prove:raw IPv6|prove:raw ICMP
CVE-2020-8558 the host's loopback (kubernetes)|prove:the host's loopback|prove:the host's loopback, by 0.0.0.0
CVE-2017-1002101, CVE-2021-25741, CVE-2024-23651, CVE-2023-0778, CVE-2021-44731, CVE-2025-47290 a path is raced (kubernetes, buildkit, podman, snapd, containerd)|driver:a tree that is swapped for a link never shows the host's files
TABLE
}

"$BIN/minga" --json prove >"$WORK/proof" 2>"$WORK/err" </dev/null || sed 's/^/# prove: /' "$WORK/err"
"$here/test_sandbox.sh" cves attacks >"$WORK/driver" 2>&1 || true

# Each returns 0: shown, 1: not so, 2: cannot be asked here.
holds_prove() {
    local result
    result=$(jq -r --arg name "$1" '.attempts[] | select(.name == $name) | .result' "$WORK/proof")
    [ "$result" != absent ] || return 2
    [ "$result" = stopped ]
}
holds_driver() { grep -qxF "ok - $1" "$WORK/driver" && ! grep -qF "not ok - $1" "$WORK/driver"; }
holds_unit() {
    [ -x "$BIN/unit_$1" ] || return 2
    if [ ! -f "$WORK/unit_$1" ]; then
        if "$BIN/unit_$1" >/dev/null 2>&1; then echo 0; else echo 1; fi >"$WORK/unit_$1"
    fi
    return "$(cat "$WORK/unit_$1")"
}
holds_script() { [ -x "$here/$1" ] || return 2; }

while IFS='|' read -r -a fields; do
    shown=0
    wrong=""
    for proof in "${fields[@]:1}"; do
        status=0
        "holds_${proof%%:*}" "${proof#*:}" || status=$?
        case $status in
        0) shown=$((shown + 1)) ;;
        2) echo "# not here: $proof" ;;
        *) wrong=$proof ;;
        esac
    done
    if [ -n "$wrong" ]; then
        fail "${fields[0]} ($wrong)"
    elif [ "$shown" = 0 ]; then
        echo "# not run: ${fields[0]}"
    else
        pass "${fields[0]}"
    fi
done < <(rows)
