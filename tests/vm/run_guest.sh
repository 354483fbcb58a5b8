#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC1007,SC2054,SC2206
# run_guest.sh [-c CPUS] [-m MB] [-t SECONDS] [-n PORT] [-i IP/LEN] [-r RESULTDIR] [-p DIR] IMAGEDIR SCRIPT
# Boots a throw-away copy of IMAGEDIR (see build_image.sh), runs SCRIPT as root under systemd with the files of
# DIR beside it, prints its output, leaves the files it put in $GUEST_RESULTS under RESULTDIR, exits with its code.
# /dev/vdc: a small disk for notes that are to outlive guest-crash without a sync of the root file system.
# A boot that does not come to its script in GUEST_BOOT_LIMIT seconds is begun anew, twice at most, which is said.
# 124: time-out; 125: the guest never answered.  -n: eth0 on a shared segment (multicast on loopback, UDP PORT).
set -euo pipefail
CPUS=2 MEM=512 LIMIT=300 NET= IP= RES= DIR= CON=${GUEST_CONSOLE:-} BOOT_LIMIT=${GUEST_BOOT_LIMIT:-240}
while getopts c:m:t:n:i:r:p: o; do case $o in c) CPUS=$OPTARG;; m) MEM=$OPTARG;; t) LIMIT=$OPTARG;;
	n) NET=$OPTARG;; i) IP=$OPTARG;; r) RES=$OPTARG;; p) DIR=$OPTARG;; *) exit 2;; esac; done
shift $((OPTIND-1)); IMG=${1:?image directory} SCRIPT=${2:?script}
T=$(mktemp -d "${TMPDIR:-/tmp}/guest.XXXXXX"); Q=
trap 'kill "$Q" 2>/dev/null || :; rm -rf "$T"' EXIT
mkdir "$T/p"; [ -z "$DIR" ] || cp -a "$DIR/." "$T/p/"
cp "$SCRIPT" "$T/p/guest.cmd"; printf 'GUEST_IP=%s\nexport GUEST_IP\n' "$IP" >"$T/p/guest.env"
tar cf "$T/payload.tar" -C "$T/p" .; : >"$T/out"; : >"$T/con"; truncate -s 1M "$T/notes"; mkfifo "$T/monitor.in" "$T/monitor.out"
case $(cat "$IMG/arch") in
amd64) qemu=qemu-system-x86_64 machine='-M q35,usb=off,smbus=off,sata=off' cpu='-cpu max' tty=ttyS0 ;;
arm64) qemu=qemu-system-aarch64 machine='-M virt' cpu='-cpu cortex-a72' tty=ttyAMA0 ;; # as of a Raspberry Pi 4
esac
a=(-nodefaults -no-user-config -display none -m "$MEM" -smp "$CPUS" ${GUEST_MACHINE:-$machine}
   ${GUEST_ACCEL:--accel tcg,thread=multi,tb-size=256} ${GUEST_CPU:-$cpu}
   -kernel "$IMG/vmlinuz" -initrd "$IMG/initrd.img"
   -append "rootflags=prjquota console=$tty ${GUEST_QUIET-quiet} mitigations=off nokaslr tsc=reliable no_timer_check net.ifnames=0 random.trust_cpu=on systemd.show_status=0 systemd.log_target=kmsg audit=0 selinux=0 apparmor=0 panic=-1 ${GUEST_APPEND:-}"
   -serial "file:$T/con"
   -drive "if=none,id=d0,file=$IMG/root.img,format=raw,snapshot=on,cache=unsafe" -device virtio-blk,drive=d0
   -drive "if=none,id=d1,file=$T/payload.tar,format=raw,readonly=on" -device virtio-blk,drive=d1
   -drive "if=none,id=d2,file=$T/notes,format=raw,cache=unsafe" -device virtio-blk,drive=d2
   -chardev "pipe,id=m0,path=$T/monitor" -mon chardev=m0
   -device virtio-rng -device virtio-serial
   -chardev "file,id=c0,path=$T/out" -device virtserialport,chardev=c0,name=guest.out
   -chardev "file,id=c1,path=$T/res.tar" -device virtserialport,chardev=c1,name=guest.res
   -chardev "file,id=c2,path=$T/rc" -device virtserialport,chardev=c2,name=guest.rc)
[ -z "$NET" ] || a+=(-netdev "socket,id=n0,mcast=230.0.0.1:$NET,localaddr=127.0.0.1"
   -device "virtio-net,netdev=n0,mac=52:54:00:$(printf %s "$IP$$" | md5sum | sed 's/\(..\)\(..\)\(..\).*/\1:\2:\3/')")
TMPDIR=$T timeout -k 5 "$LIMIT" "$qemu" "${a[@]}" </dev/null 2>"$T/err" & Q=$!
# Emulated processors have been seen to spin after a reset, before anything of the guest ran. (One that hangs on its
# way down is not helped: that may be ours.)
begun=0 since=0 again=0
watch_boot() {
	local n ran
	n=$((1 + $(grep -ac 'reboot: Restarting system\|sysrq: Resetting' "$T/con" || :)))
	ran=$(grep -ac '^guest: script starts at' "$T/out" || :)
	[ "$n" = "$begun" ] || { begun=$n since=$SECONDS; }
	[ "$ran" -lt "$n" ] && [ $((SECONDS - since)) -ge "$BOOT_LIMIT" ] && [ "$again" -lt 2 ] || return 0
	echo "# run-guest: boot $n is not at its script after $BOOT_LIMIT s, and is begun anew; its processors are at" >&2
	timeout 3 cat "$T/monitor.out" >"$T/said" & ran=$!
	echo 'info registers -a' >"$T/monitor.in"; wait "$ran" || :
	grep -aoE '\b(RIP|PC)=[0-9a-f]+' "$T/said" | sed 's/^/# /' >&2 || :
	echo system_reset >"$T/monitor.in"
	since=$SECONDS again=$((again + 1))
}
# One that has slept (S3) answers, and then does not switch itself off.
for ((n = 1; ; n++)); do
	if [ -s "$T/rc" ] || ! kill -0 "$Q" 2>/dev/null; then break; fi
	[ $((n % 25)) != 0 ] || watch_boot
	sleep 0.2
done
for ((n = 0; n < 75; n++)); do kill -0 "$Q" 2>/dev/null || break; sleep 0.2; done
kill "$Q" 2>/dev/null || :
rc=0; wait "$Q" || rc=$?; Q=
cat "$T/out"; [ -z "$CON" ] || cp "$T/con" "$CON"
if [ -n "$RES" ] && [ -s "$T/res.tar" ]; then mkdir -p "$RES"; tar xf "$T/res.tar" -C "$RES"; fi
[ "$rc" != 124 ] || [ -s "$T/rc" ] || { echo "run-guest: time-out after $LIMIT s" >&2; tail -n 20 -q "$T/con" "$T/err" >&2; exit 124; }
[ -s "$T/rc" ] || { echo "run-guest: no answer from the guest" >&2; tail -n 20 -q "$T/con" "$T/err" >&2; exit 125; }
exit "$(tr -dc 0-9 <"$T/rc")"
