#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# build_image.sh OUTDIR  --  Debian 12 guest (systemd as PID 1, cgroup v2 unified) from apt, for run_guest.sh.
# Needs root and: mmdebstrap e2fsprogs busybox-static cpio kmod bc (apt). Leaves in OUTDIR:
#   root.img (sparse ext4)  initrd.img (busybox, virtio and quota modules)  vmlinuz (Debian cloud kernel)
# Takes the mirrors that this machine's apt uses (or MIRROR / MIRROR_SEC); EXTRA=pkg,pkg adds packages.
# ARCH=arm64 makes one for that machine, with qemu-user-static (apt) as well.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
OUT=${1:?usage: build_image.sh OUTDIR}; mkdir -p "$OUT"; OUT=$(realpath "$OUT")
SUITE=${SUITE:-bookworm}
HERE=$(dpkg --print-architecture) ARCH=${ARCH:-$HERE}
source_of() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $1" | head -1; }
MIRROR=${MIRROR:-$(source_of "$SUITE")} MIRROR_SEC=${MIRROR_SEC:-$(source_of "$SUITE-security")}
SIZE=${SIZE:-2G}
PK=systemd,systemd-sysv,dbus,passwd,adduser,udev,kmod,procps,iproute2,nftables,e2fsprogs,quota,util-linux
PK=$PK,python3,redis-server,nginx-light,busybox-static,libcgroup2,cgroup-tools,libseccomp2,libarchive13
PK=$PK,libcurl4,libzmq5,libsodium23,liblmdb0,libmicrohttpd12,libuv1,libsqlite3-0,libyaml-0-2,libjansson4,zlib1g,zstd,curl,jq,libminiupnpc17,libnatpmp1,passt,polkitd,miniupnpd-nftables${EXTRA:+,$EXTRA}
T=$(mktemp -d "${WORK:-/var/tmp}/guest.XXXXXX"); trap 'rm -rf --one-file-system "$T"' EXIT
t0=$(date +%s.%N); lap() { local n; n=$(date +%s.%N); printf '%-28s %6.1f s\n' "$1" "$(echo "$n-$t0" | bc)"; t0=$n; }

# --- guest side: runs the payload once systemd has settled, hands back output, results, exit code
mkdir -p "$T/over/usr/local/sbin" "$T/over/etc/systemd/system"
cat >"$T/over/usr/local/sbin/guest-run" <<'G'
#!/bin/sh
# run-guest: payload tar = /dev/vdb, virtio-serial ports guest.out (text), guest.res (tar of results), guest.rc (exit code)
# run-nspawn: the same names as files in /guest
D=/var/lib/guest; P=/guest SRC=/guest/payload.tar
if [ ! -d $P ]; then
	P=/run/guest-ports SRC=/dev/vdb; mkdir -p $P
	for n in /sys/class/virtio-ports/*/name; do	# udev coldplug is masked: no /dev/virtio-ports
		read x <$n; n=${n%/name}; ln -sf /dev/${n##*/} $P/$x
	done
fi
exec >>$P/guest.out 2>&1
export GUEST_RESULTS=$D/results GUEST_PAYLOAD=$D/payload GUEST_MARK= GUEST_UP
read GUEST_UP x </proc/uptime
[ -e $D/mark ] && GUEST_MARK=$(cat $D/mark) && rm $D/mark
if [ ! -d $D/payload ]; then mkdir -p $D/payload $D/results; tar xf $SRC -C $D/payload || exit 125; fi
cd $D/payload
. ./guest.env
[ "$GUEST_IP" ] && { ip link set eth0 up; ip addr add $GUEST_IP dev eth0; }
echo "guest: script starts at uptime $GUEST_UP s${GUEST_MARK:+ (mark $GUEST_MARK)}"
sh ./guest.cmd </dev/null; rc=$?
[ -e $D/mark ] && exec sleep 60		# guest-reboot / guest-crash is under way
tar cf $P/guest.res -C $D/results . ; echo $rc >$P/guest.rc
[ $P != /guest ] || exec systemctl -ff poweroff
sync; sleep 0.1; echo o >/proc/sysrq-trigger; sleep 60
G
cat >"$T/over/usr/local/sbin/guest-reboot" <<'G'
#!/bin/sh
# guest-reboot MARK: clean reboot; the script runs again with $GUEST_MARK=MARK
echo "$1" >/var/lib/guest/mark; sync; exec systemctl start reboot.target --job-mode=replace-irreversibly --no-block
G
cat >"$T/over/usr/local/sbin/guest-crash" <<'G'
#!/bin/sh
# guest-crash MARK: power is cut (only MARK itself is synced); the script runs again with $GUEST_MARK=MARK
echo "$1" >/var/lib/guest/mark; sync /var/lib/guest/mark
[ ! -d /guest ] || exec systemctl -ff reboot	# a container: everything is killed, but the host's page cache lives on
echo b >/proc/sysrq-trigger; sleep 60
G
chmod 755 "$T"/over/usr/local/sbin/*
cat >"$T/over/etc/systemd/system/guest-run.service" <<'G'
[Unit]
Description=Run the payload handed over by the host
After=multi-user.target dbus.socket
[Service]
Type=exec
ExecStart=/usr/local/sbin/guest-run
StandardInput=null
KillMode=process
[Install]
WantedBy=graphical.target multi-user.target
G
mkdir -p "$T/over/etc/systemd/journald.conf.d" "$T/over/etc/systemd/system-generators"
printf '[Journal]\nStorage=volatile\n' >"$T/over/etc/systemd/journald.conf.d/guest.conf"
for g in bless-boot cryptsetup debug fstab getty gpt-auto hibernate-resume integritysetup rc-local run system-update sysv veritysetup; do
	ln -s /dev/null "$T/over/etc/systemd/system-generators/systemd-$g-generator"; done
: >"$T/over/etc/fstab"
echo guest >"$T/over/etc/hostname"

# --- root file system.  The kernel is unpacked, not installed: no initramfs-tools, no initrd to generate
cat >"$T/custom.sh" <<'C'
set -eu
r=$1 t=$2 export LC_ALL=C
k=$(chroot "$r" apt-cache depends "linux-image-cloud-$3" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
(cd "$r/tmp" && chroot "$r" sh -c "cd /tmp && apt-get -o APT::Sandbox::User=root download -q $k") >/dev/null
dpkg-deb --fsys-tarfile "$r"/tmp/linux-image-*.deb | tar x --keep-directory-symlink -C "$r"; rm "$r"/tmp/*.deb
kv=$(ls "$r/lib/modules"); depmod -b "$r" "$kv"; echo "$kv" >"$t/kver"
mv "$r/boot/vmlinuz-$kv" "$t/vmlinuz"; rm -f "$r"/boot/System.map*
cp -a "$t/over/." "$r/"
sed -i "s/^root:[^:]*:/root::/" "$r/etc/shadow"
chroot "$r" systemctl -q enable guest-run.service
chroot "$r" systemctl -q set-default multi-user.target
chroot "$r" systemctl -q mask getty@tty1.service serial-getty@ttyS0.service getty.target console-getty.service \
	systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer man-db.timer systemd-udev-settle.service systemd-machine-id-commit.service \
	systemd-firstboot.service systemd-pstore.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
	systemd-random-seed.service systemd-boot-system-token.service nftables.service systemd-remount-fs.service \
	sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount keyboard-setup.service \
	systemd-udev-trigger.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount \
	redis-server.service nginx.service miniupnpd.service \
	systemd-logind.service systemd-user-sessions.service systemd-modules-load.service systemd-journal-flush.service \
	modprobe@dm_mod.service modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service >/dev/null 2>&1 || :
echo 4dd0123456789abcdef0123456789abc >"$r/etc/machine-id"
touch "$r/etc/.updated" "$r/var/.updated"
rm -rf "$r"/var/cache/apt/*.bin "$r"/var/lib/apt/lists/* "$r"/usr/share/i18n "$r"/lib/udev/hwdb.d "$r"/usr/lib/udev/hwdb.bin
C
emulate=() skip=check/empty
[ "$ARCH" = "$HERE" ] || { emulate=("$(dirname "$(realpath "$0")")/../../packaging/emulate.sh" "$ARCH" "$(command -v qemu-aarch64-static)"); skip=check/empty,check/qemu; }
"${emulate[@]}" mmdebstrap --quiet --mode=root --variant=apt --architectures="$ARCH" --include="$PK" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --skip=cleanup/apt/lists --skip="$skip" \
	--customize-hook="sh $T/custom.sh \"\$1\" $T $ARCH" "$SUITE" "$T/root" \
	"deb $MIRROR $SUITE main" "deb $MIRROR $SUITE-updates main" "deb $MIRROR_SEC $SUITE-security main"
lap "mmdebstrap + kernel"
rm -f "$OUT/root.img"; truncate -s "$SIZE" "$OUT/root.img"
mke2fs -q -F -t ext4 -O quota,project -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 -d "$T/root" "$OUT/root.img"
lap "ext4 image"

# --- initrd: one static busybox and the modules that find the disk
kv=$(cat "$T/kver"); I=$T/i; mkdir -p "$I"/{bin,dev,proc,sys,m,root}; cp "$T/root/bin/busybox" "$I/bin/busybox"; ln -s busybox "$I/bin/sh"
: >"$I/m/order"
for m in ext4 virtio_pci virtio_blk virtio_console virtio_net quota_v2; do
	modprobe -d "$T/root" -S "$kv" --show-depends $m | awk '$1=="insmod"{print $2}' | while read -r f; do
		grep -qx "$(basename "$f")" "$I/m/order" || { cp "$f" "$I/m/"; basename "$f" >>"$I/m/order"; }; done
done
cat >"$I/init" <<'G'
#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev
while read m; do /bin/busybox insmod /m/$m; done </m/order
n=0; until [ -b /dev/vda ] || [ $n -gt 200 ]; do /bin/busybox usleep 20000; n=$((n+1)); done
/bin/busybox mount -t ext4 -o rw,noatime,prjquota /dev/vda /root || /bin/busybox poweroff -f
exec /bin/busybox switch_root /root /lib/systemd/systemd
G
chmod 755 "$I/init"; (cd "$I" && find . | cpio -o -H newc --quiet >"$OUT/initrd.img")
cp "$T/vmlinuz" "$OUT/"; echo "$ARCH" >"$OUT/arch"
lap "initrd"; ls -ls "$OUT"
