#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# packaging/cross.sh ARCH WORK_FOLDER OUT_FOLDER [build]
# The .deb and the .rpm for ARCH (arm64, armhf), cross-built from the last commit in a Debian 12 of its own (below
# WORK_FOLDER, made once, kept), where Debian's cross compiler and the libraries' packages of ARCH lie side by
# side without touching this machine's. Its unit tests run under qemu-user, and its simulator: the same seeds have to
# give the traces of build/release. Prints `ok - SENTENCE` or `not ok - SENTENCE`. `build`: builds only.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
arch=$1
mkdir -p "$2/$arch" "$3"
work=$(realpath "$2/$arch")
out=$(realpath "$3")
debian=$work/debian
status=0

# mark is what .rpm writes behind libraries of 64 bits.
case $arch in
arm64) triplet=aarch64-linux-gnu qemu=qemu-aarch64-static rpm_arch=aarch64 mark='()(64bit)' said='64-bit .*ARM aarch64' ;;
armhf) triplet=arm-linux-gnueabihf qemu=qemu-arm-static rpm_arch=armv7hl mark='' said='32-bit .*ARM, EABI5' ;;
*)
    echo "packaging/cross.sh: no such architecture: $arch" >&2
    exit 2
    ;;
esac

pass() { echo "ok - $*"; }
fail() { echo "not ok - $*"; status=1; }

LIBRARIES=(libc6-dev libnanopb-dev libuv1-dev libzmq3-dev libsodium-dev libsqlite3-dev libyaml-dev
    libarchive-dev libcurl4-openssl-dev libcgroup-dev libseccomp-dev libmicrohttpd-dev libjansson-dev
    libsystemd-dev zlib1g-dev libminiupnpc-dev libnatpmp-dev musl-dev)
[ "$arch" = armhf ] || LIBRARIES+=(libcriterion-dev) # Debian has none there
TOOLS=(gcc "gcc-$triplet" "libc6-dev-$arch-cross" dpkg-dev cmake ninja-build pkg-config git
    python3 python3-protobuf nanopb protobuf-compiler qemu-user-static busybox-static dbus-daemon
    ca-certificates rpm cpio)

# Where this machine's apt has Debian from.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Release: bookworm' | sed -n 1p; }

make_debian() {
    local packages
    packages=$(IFS=,; echo "${TOOLS[*]},${LIBRARIES[*]/%/:$arch}")
    [ "$(cat "$debian.made" 2>/dev/null)" != "$packages" ] || return 0
    rm -rf "$debian" "$debian.made"
    # Its mounts are its own, so that none is left when it is interrupted.
    unshare --mount --propagation private mmdebstrap --quiet --mode=root --variant=apt --dpkgopt=force-unsafe-io --architectures="amd64,$arch" --include="$packages" \
        bookworm "$debian" "deb $(mirror) bookworm main" >"$work/debian.log" 2>&1 ||
        { tail -n 20 "$work/debian.log" >&2; exit 1; }
    echo "$packages" >"$debian.made"
}

in_debian() { chroot "$debian" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }

# shellcheck disable=SC2016
emulated() {
    "$here/emulate.sh" "$arch" "$debian/usr/bin/$qemu" sh -euc '
        root=$1
        shift
        mount --rbind /proc "$root/proc"
        mount --rbind /dev "$root/dev"
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
    ' sh "$debian" "$@"
}

# The build folder stays: what has not changed is not built again.
take_sources() {
    [ -d "$debian/minga/.git" ] || git clone -q --no-hardlinks "$root" "$debian/minga"
    git -C "$debian/minga" fetch -q "$root" HEAD
    git -C "$debian/minga" checkout -q --force --detach FETCH_HEAD
}

# shellcheck disable=SC2016
build() {
    in_debian sh -c 'cd /minga && cmake --preset "$1" && nice cmake --build --preset "$1" -j"$(nproc)" \
        --target programs unit_tests minga-sim system_sandbox_driver' sh "$arch" \
        >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2; exit 1; }
    in_debian env DEB_HOST_ARCH="$arch" RPM_ARCH="$rpm_arch" DEBEMAIL="${DEBEMAIL:-}" DEBFULLNAME="${DEBFULLNAME:-}" sh -c \
        'cd /minga && git config --global --add safe.directory /minga && packaging/build.sh "build/$1" /minga/build/packages' sh "$arch" \
        >"$work/package.log" 2>&1 || { tail -n 40 "$work/package.log" >&2; exit 1; }
    cp "$debian"/minga/build/packages/minga_*_"$arch".deb "$debian"/minga/build/packages/minga-*."$rpm_arch".rpm "$out/"
}

judge() {
    local deb program bad=""
    deb=$(find "$out" -name "minga_*_$arch.deb" | sort | tail -n 1)
    rm -rf "$work/tree"
    dpkg-deb -x "$deb" "$work/tree"
    for program in "$work"/tree/usr/lib/minga/*; do
        file -b "$program" | grep -q "$said" || bad="$bad $(basename "$program")"
    done
    if [ -z "$bad" ]; then pass "$(basename "$deb") has programs for $arch only"; else
        fail "$(basename "$deb"): not for $arch:$bad"
    fi
    if dpkg-deb -f "$deb" Depends | grep -q 'libzmq5.*libc6\|libc6.*libzmq5'; then
        pass "it says which libraries it needs"
    else
        fail "it does not say which libraries it needs: $(dpkg-deb -f "$deb" Depends)"
    fi
    judge_rpm
}

# The tools are in the Debian: this machine may have none for .rpm.
judge_rpm() {
    local rpm name needs
    rpm=$(find "$out" -name "minga-*.$rpm_arch.rpm" | sort | tail -n 1)
    name=$(basename "$rpm")
    cp "$rpm" "$debian/tmp/$name"
    if [ "$(in_debian rpm -qp --qf '%{ARCH}' "/tmp/$name")" = "$rpm_arch" ]; then pass "$name is for $rpm_arch"; else
        fail "$name is for another machine"
    fi
    needs=$(in_debian rpm -qp --requires "/tmp/$name")
    if grep -q "^libzmq\.so\.5$mark\$" <<<"$needs" && grep -q "^libc\.so\.6(GLIBC_.*)${mark#()}\$" <<<"$needs"; then
        pass "it says which libraries it needs"
    else
        fail "it does not say which libraries it needs: $needs"
    fi
    in_debian sh -c 'rm -rf /tmp/tree; mkdir /tmp/tree; cd /tmp/tree; rpm2cpio "$1" | cpio -idm --quiet' sh "/tmp/$name"
    # What only Debian asks for is in the other alone.
    rm -rf "$work/tree/usr/share/lintian" "$work/tree/usr/share/doc/minga/changelog.gz"
    if diff -r "$work/tree" "$debian/tmp/tree" >"$work/diff.log" 2>&1; then
        pass "it has the same files as the .deb, byte for byte"
    else
        fail "it has other files than the .deb: $(head -n 5 "$work/diff.log")"
    fi
    rm -rf "$debian/tmp/tree" "$debian/tmp/$name"
    if command -v rpmlint >/dev/null; then
        local said
        said=$(rpmlint -c "$here/rpm/rpmlint.toml" "$rpm" 2>&1 | grep -E '(^| )[EW]:' || true)
        if [ -z "$said" ]; then pass "rpmlint has no error and no warning"; else fail "rpmlint: $said"; fi
    else
        echo "# not run: rpmlint is not installed"
    fi
}

# Not under qemu-user (7.2): it knows neither seccomp filters, without which some programs refuse to go on,
# nor openat2, and it does not tell that descriptors were cut off (MSG_CTRUNC).
NOT_EMULATED='sandbox_seccomp|sandbox_init|sandbox_tree_copy|sandbox_client|images_worker|images_bundle'
failed_in() { grep -qE 'Test +#[0-9]+: .*(\*\*\*|Failed|Timeout)' "$1"; }
emulated_ctest() { # LOG OPTIONS...
    local log=$1
    shift
    emulated sh -c 'cd "/minga/build/$1" && shift && nice ctest -V "$@"' sh "$arch" "$@" >"$log" 2>&1 || true
}
unit_tests() {
    local log=$work/unit.log again=$work/unit-again.log passed
    echo "127.0.0.1 localhost" >"$debian/etc/hosts" # the new Debian has none, and a test dials that name
    emulated_ctest "$log" -R '^unit_' -E "^unit_($NOT_EMULATED)\$" -j"$(nproc)"
    passed=$(python3 "$root/tests/tools/count_ctest.py" "$log")
    # An emulated processor is some ten times slower, and tests have a time: what failed has a turn by itself.
    if failed_in "$log"; then
        echo "# run again, by themselves:" "$(grep -oE 'unit_[a-z_]+ \.*\*\*\*[A-Za-z]+' "$log" | tr '\n' ' ')"
        emulated_ctest "$again" --rerun-failed
        log=$again
        passed=$((passed + $(python3 "$root/tests/tools/count_ctest.py" "$log")))
    fi
    if failed_in "$log"; then
        fail "unit tests of $arch under qemu-user ($passed passed):"
        grep -E '\*\*\*|FAIL|Assertion' "$log" | head -n 40
    elif [ "$passed" -gt 0 ]; then
        pass "$passed unit tests of $arch pass under qemu-user"
    else
        fail "no unit test of $arch ran: see $log"
    fi
}

# Half a second each here, ten there.
hashes_of() { # PROGRAM...
    local seed
    for seed in 1 2 3 5 8; do
        printf 'seed %s %s\n' "$seed" "$("$@" --seed "$seed" | grep '^hash')"
    done
}
traces() {
    if [ ! -x "$root/build/release/bin/minga-sim" ]; then
        echo "# not run: the simulator (./dev build makes that of this machine)"
        return
    fi
    hashes_of "$root/build/release/bin/minga-sim" >"$work/traces.here"
    hashes_of emulated "/minga/build/$arch/bin/minga-sim" >"$work/traces.$arch"
    if diff "$work/traces.here" "$work/traces.$arch" >&2; then pass "the simulator's traces are those of this machine"; else
        fail "the simulator's traces are not those of this machine"
    fi
}

make_debian
take_sources
build
[ "${4:-}" != build ] || exit 0
judge
traces
unit_tests
exit "$status"
