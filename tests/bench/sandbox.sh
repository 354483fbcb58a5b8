#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# sandbox.sh [COUNT]: COUNT times (200) a program that does nothing in a real sandbox, from the
# request to the service's execve and to its end, with disks made ahead and without, one after the
# other and several at once; beside it bubblewrap, nsjail, crun, runc, podman and docker, where they
# are installed (docker: where its daemon answers), with the same program, from their start to their
# end. Medians, in ms. Then what a published port costs, beside the plain loopback of the same
# minute and socat; and one for members only, beside a public one of the same replica (door.sh). As root.
set -euo pipefail
# Whatever a peer mounts and does not unmount, goes with us.
if [ -z "${MINGA_BENCH_MOUNTS:-}" ]; then
    exec unshare --mount --propagation slave env MINGA_BENCH_MOUNTS=own "$0" "$@"
fi
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
count=${1:-200}
DOOR_ROUNDS=${DOOR_ROUNDS:-3}
WORK=$(mktemp -d /var/tmp/minga-bench.XXXXXX)
# Control groups of peers, by the names that they give them. What was there before is not ours.
peer_groups() {
    find /sys/fs/cgroup -depth -mindepth 1 -type d \( -name 'libpod*' -o -name 'conmon*' -o \
        -name 'machine.slice' -o -name 'NSJAIL*' -o -name 'minga-bench-*' \) 2>/dev/null | sort -r
}
peer_groups >"$WORK/groups"
clean_up() {
    local group i
    for ((i = 0; i < 20; i++)); do # what is in them may still be on its way out
        peer_groups | grep -vxFf "$WORK/groups" >"$WORK/left" || break
        while read -r group; do rmdir "$group" 2>/dev/null || true; done <"$WORK/left"
        sleep 0.1
    done
    awk -v under="$WORK/" 'index($5, under) == 1 {print $5}' /proc/self/mountinfo | sort -r |
        xargs -r -n 1 umount -l
    rm -rf "$WORK"
}
trap clean_up EXIT
chmod 711 "$WORK"
mkdir -p "$WORK/bundle/rootfs/bin" "$WORK/bundle/rootfs/proc" "$WORK/bundle/rootfs/dev"
cp "$BIN/bench_true" "$WORK/bundle/rootfs/bin/true"

now_us() { echo $((${EPOCHREALTIME/./})); }
row() { # row TEXT GOAL, with times in us on stdin
    sort -n | awk -v text="$1" -v goal="$2" '{t[NR] = $1 / 1000}
        END {printf "%-58s %8.2f %8.2f %7s\n", text, t[int((NR + 1) / 2)], t[int(NR * 0.99) + (NR < 100)], goal}'
}
# peer NAME PROGRAM COMMAND...: COUNT (or `runs`) runs of the command, where the program is
# installed. Fails where it is not, or does not work here; then it says why.
peer() {
    local name=$1 program=$2 started i
    shift 2
    if ! command -v "$program" >/dev/null; then return 1; fi
    started=$(now_us)
    if ! "$@" >"$WORK/peer.log" 2>&1 </dev/null; then
        printf '%-58s %8s   %s\n' "$name" "fails" "$(tail -n 1 "$WORK/peer.log" | cut -c1-160)"
        return 1
    fi
    if (($(now_us) - started > 5000000)); then
        printf '%-58s %8s   %s\n' "$name" "fails" "one run takes more than 5 s"
        return 1
    fi
    for ((i = 0; i < ${runs:-count}; i++)); do
        started=$(now_us)
        "$@" >/dev/null 2>&1
        echo $(($(now_us) - started))
    done | row "$name" -
}
oci() { # oci PROGRAM
    "$1" --root "$WORK/$1" run --bundle "$WORK/bundle" "minga-bench-$$"
}
# What runtimes' own `spec` command writes, with another command and no terminal.
write_oci_spec() {
    (cd "$WORK/bundle" && "$1" spec && python3 - <<'END'
import json
spec = json.load(open("config.json"))
spec["process"]["terminal"] = False
spec["process"]["args"] = ["/bin/true"]
spec["linux"]["resources"] = {"memory": {"limit": 33554432}, "pids": {"limit": 32}}
json.dump(spec, open("config.json", "w"))
END
    )
}

# ours PROGRAM ARGUMENT...: a bench program of ours in a fresh folder, its records and its locks of
# uid ranges on a tmpfs, as /run is.
ours() {
    rm -rf "$WORK/ours"
    mkdir -p "$WORK/ours/run" "$WORK/ours/uids"
    chmod 711 "$WORK/ours"
    # shellcheck disable=SC2016
    unshare --mount --propagation private sh -ec '
        mount -t tmpfs -o mode=755 none "$1/ours/run"
        mount -t tmpfs -o mode=700 none "$1/ours/uids"
        work=$1 bin=$2 program=$3
        shift 3
        exec "$bin/$program" "$work/ours" "$bin" "$@"' sh "$WORK" "$BIN" "$@"
}
ours bench_sandbox_launches "$count" >"$WORK/launches"
ours bench_sandbox_launches 15 700 >"$WORK/single"
for at_once in 2 4; do
    ours bench_sandbox_launches $((2 * count)) 0 "$at_once" >"$WORK/launches.$at_once"
done

printf '%-58s %8s %8s %7s\n' "ms, $count launches one after the other" median p99 "at most"
awk '/^[0-9]/ {print $1}' "$WORK/launches" | row "minga: request to execve, limits included, disk ready" 3
awk '/^[0-9]/ {print $2 - $1}' "$WORK/launches" | row "minga: execve to everything ended and said" -
awk '/^[0-9]/ {print $1}' "$WORK/single" | row "minga: a single start, which waits for its disk" 15
peer "fork and exec" "$BIN/bench_true" "$BIN/bench_true" || true
peer "bubblewrap: no limits, no seccomp, no disk" bwrap \
    bwrap --unshare-all --ro-bind "$WORK/bundle/rootfs" / --proc /proc --dev /dev /bin/true || true
# nsjail wants the parents of its groups to be there.
if command -v nsjail >/dev/null; then
    nsjail_groups=()
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        nsjail_groups=(--use_cgroupv2)
    else
        for controller in memory pids; do
            mkdir -p "/sys/fs/cgroup/$controller/NSJAIL" || true
        done
    fi
    peer "nsjail: with limits, no seccomp, no disk" nsjail \
        nsjail -Mo -Q --chroot "$WORK/bundle/rootfs" "${nsjail_groups[@]}" \
        --cgroup_mem_max 33554432 --cgroup_pids_max 32 -- /bin/true || true
fi
for runtime in crun runc; do
    if command -v "$runtime" >/dev/null; then
        rm -f "$WORK/bundle/config.json"
        write_oci_spec "$runtime"
        if peer "$runtime: with limits, no disk" "$runtime" oci "$runtime"; then
            works=${works:-$runtime}
        fi
    fi
done

# Tens of times slower: fewer runs tell as much. All that podman keeps is in $WORK. It would take
# more open files and processes than a machine may let root have, and a runtime that may not work.
runs=$((count < 20 ? count : 20))
peer "podman: no network, with limits, no disk" podman \
    podman --root "$WORK/podman" --runroot "$WORK/podman-run" --tmpdir "$WORK/podman-tmp" \
    --cgroup-manager cgroupfs --runtime "${works:-crun}" \
    run --rm --ulimit nofile=1024:4096 --ulimit nproc=4096:4096 --network none \
    --memory 32m --pids-limit 32 --rootfs "$WORK/bundle/rootfs" /bin/true || true
if command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; then
    image=minga-bench:$$
    tar -C "$WORK/bundle/rootfs" -c . | docker import - "$image" >/dev/null
    peer "docker: no network, with limits, no disk" docker \
        docker run --rm --network none --memory 32m --pids-limit 32 "$image" /bin/true || true
    docker image rm --force "$image" >/dev/null
fi
unset runs

rate() { # rate HOW <FILE
    awk -v how="$1" '/^total/ {printf "minga: %.0f starts/s, %s (at least 350); %.1f ms of processor time each\n",
        $2, how, $3 / 1000}'
}
echo
rate "one after the other" <"$WORK/launches"
rate "two at once" <"$WORK/launches.2"
rate "four at once" <"$WORK/launches.4"
ours bench_sandbox_memory 8 | awk '{printf "minga: beside each service %d KiB: minga-init %d, the kernel for it %d, the helper %d (at most 512)\n",
    $1 + $2 + $3, $1, $2, $3}'

# --- a published port ---

plain_port=9123 other_port=9124
PIDS=()
background() { "$@" >/dev/null 2>&1 & PIDS+=($!); }
background_end() { kill "${PIDS[@]}" 2>/dev/null || true; wait "${PIDS[@]}" 2>/dev/null || true; PIDS=(); }
trap 'background_end; clean_up' EXIT
plain=
# port_row NAME, with "Gbit/s down, up, us, connections/s" on stdin, beside those of `plain`.
port_row() {
    awk -v text="$1" -v plain="$plain" 'BEGIN {split(plain, p)}
        NF < 4 {next}
        {found = 1; printf "%-40s %8.1f %8.1f %9.1f %9.0f", text, $1, $2, $3, $4
         if (plain != "") printf "   %4.2f %4.2f %+9.1f", $1 / p[1], $2 / p[2], $3 - p[3]; print ""}
        END {if (!found) printf "%-40s %8s\n", text, "fails"}'
}
ask() { timeout 60 "$BIN/bench_port" ask "$1" 2>/dev/null || true; }

printf '\n%-40s %8s %8s %9s %9s   %s\n' "a published port, one stream" "Gbit down" "up" "trip us" "conn/s" \
    "of plain: down up, us more (at least 0.60, at most 20)"
background "$BIN/bench_port" serve "$plain_port"
ask "$plain_port" >"$WORK/plain"
port_row "plain loopback" <"$WORK/plain"
plain=$(cat "$WORK/plain")
ours bench_sandbox_port | port_row "minga: into a sandbox"
if command -v socat >/dev/null; then
    background socat "TCP-LISTEN:$other_port,fork,reuseaddr,nodelay,backlog=512" \
        "TCP:127.0.0.1:$plain_port,nodelay"
    ask "$other_port" | port_row "socat: loopback to loopback"
fi
background_end

# --- a port for members only ---

printf '\n%-40s %8s %8s %9s %9s   %s\n' "a port for members, medians of $DOOR_ROUNDS" "Gbit down" "up" "trip us" "conn/s" \
    "of plain: down up, us more; last: of the public port"
"$here/door.sh" "$DOOR_ROUNDS" >"$WORK/door" 2>"$WORK/door.log" || tail -n 5 "$WORK/door.log"
door() { sed -n "s/^$1 //p" "$WORK/door"; }
plain=
door plain | port_row "plain loopback"
plain=$(door plain)
door public | port_row "minga: a public port"
plain=$(door public)
door members | port_row "minga: minga connect, for members only"
