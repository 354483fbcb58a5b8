#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The same seeds give the same traces with another C library and on another processor: minga-sim linked statically
# with musl, and with glibc for riscv64 (under qemu-user). Debian 12 has no libraries for either, so those that
# the simulator needs (libsodium, libyaml, nanopb) are compiled from Debian's sources, which lie in FOLDER.
# usage: traces_elsewhere.sh FOLDER [SEED...]   run from the root, after ./dev build; needs Debian's musl-tools,
# gcc-riscv64-linux-gnu, libc6-dev-riscv64-cross and qemu-user-static
set -euo pipefail

folder=$1
shift
seeds=("$@")
[ $# -gt 0 ] || seeds=(1 2 3 5 8 13 20 21 34 55)
mkdir -p "$folder"
folder=$(realpath "$folder")
bad=0
here=build/release

# The original sources only: nothing of Debian's patches counts here.
take_sources() {
    [ ! -f "$folder/sources" ] || return 0
    mkdir -p "$folder/lists/partial"
    apt-get indextargets --format 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) bookworm main' \
        'Created-By: Packages' 'Release: bookworm' | sed -n 1p >"$folder/sources.list"
    (
        cd "$folder"
        options=(-qq -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
            -o Dir::State::Lists="$folder/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
            -o APT::Sandbox::User=root)
        apt-get "${options[@]}" update
        apt-get "${options[@]}" source --download-only libsodium libyaml nanopb
        for name in *.orig.tar.gz; do tar -xzf "$name"; done
        cd libsodium-*/src/libsodium/include/sodium
        sed 's/@VERSION@/1.0.18/; s/@SODIUM_LIBRARY_VERSION_MAJOR@/10/; s/@SODIUM_LIBRARY_VERSION_MINOR@/3/
            s/@SODIUM_LIBRARY_MINIMAL_DEF@//' version.h.in >version.h
    ) >"$folder/sources.log" 2>&1 || { cat "$folder/sources.log" >&2; exit 1; }
    touch "$folder/sources"
}

# archive NAME FLAGS... -- FILES...: lib/NAME.a of them, by the words of $compiler.
archive() {
    local name=$1 flags=()
    shift
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    rm -rf "${out:?}/$name" "$out/$name.a"
    mkdir -p "$out/$name"
    printf '%s\n' "$@" | OUT=$out/$name xargs -P"$(nproc)" -I '{}' sh -c \
        'file=$1; shift; exec "$@" -c "$file" -o "$OUT/$(echo "$file" | tr / _).o"' sh '{}' \
        nice "${compiler[@]}" -O2 "${flags[@]}" 2>>"$out.log"
    ar crs "$out/$name.a" "$out/$name"/*.o
}

# libraries: those of others, once; what makes their own build choose is what any machine has.
libraries() {
    [ ! -f "$out/libraries" ] || return 0
    local sodium yaml nanopb
    sodium=$(echo "$folder"/libsodium-*/src/libsodium) yaml=$(echo "$folder"/libyaml-*) nanopb=$(echo "$folder"/nanopb-*)
    mapfile -t sodium_files < <(find "$sodium" -name '*.c')
    archive sodium -DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 -I"$sodium/include/sodium" -I"$sodium/include" -- "${sodium_files[@]}"
    archive yaml -I"$yaml/include" '-DYAML_VERSION_STRING="0.2.5"' -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 \
        -DYAML_VERSION_PATCH=5 -- "$yaml"/src/*.c
    archive nanopb -I"$nanopb" -- "$nanopb"/pb_*.c
    touch "$out/libraries"
}

# built NAME COMPILER...: $folder/NAME/minga-sim, and minga-init beside it
built() {
    local out=$folder/$1 files flags
    shift
    compiler=("$@")
    mkdir -p "$out"
    libraries
    flags=(-std=gnu11 -D_GNU_SOURCE '-DMINGA_VERSION="0"' -fno-strict-aliasing -I. -I"$here" -isystem "$folder"/libsodium-*/src/libsodium/include
        -isystem "$folder"/libyaml-*/include -isystem "$folder"/nanopb-*)
    mapfile -t files < <(git ls-files base overlay 'images/*.c' agent/core agent/manager agent/executor agent/policy \
        'sandbox/*.c' tests/sim | grep '\.c$' | grep -vE '^(images/unpack|sandbox/.*/|sandbox/cgroup|tests/sim/.*/)')
    archive minga "${flags[@]}" -- "${files[@]}" sandbox/init/*.c "$here/overlay/protocol.pb.c"
    "${compiler[@]}" -static -Wl,--wrap=keys_verify,--wrap=keys_curve_public -o "$out/minga-sim" \
        "$out"/minga/tests_sim_main.c.o "$out"/{minga,sodium,yaml,nanopb}.a -lm
    ar crs "$out/init.a" "$out"/minga/{base,sandbox}_*.o
    "${compiler[@]}" -static -o "$out/minga-init" "$out"/minga/sandbox_init_main.c.o "$out/init.a"
}

# What musl does not bring.
mkdir -p "$folder/kernel-headers"
for name in linux asm-generic x86_64-linux-gnu/asm; do ln -sfn "/usr/include/$name" "$folder/kernel-headers/$(basename "$name")"; done

hashes_of() { # PROGRAM...
    local seed
    for seed in "${seeds[@]}"; do
        printf 'seed %s %s\n' "$seed" "$("$@" --seed "$seed" | grep '^hash')"
    done
}

compare() { # NAME PROGRAM...
    local name=$1
    shift
    hashes_of "$@" >"$folder/$name.hashes"
    cmp -s "$folder/here.hashes" "$folder/$name.hashes" || {
        echo "traces: $name differs from the release build:" >&2
        diff "$folder/here.hashes" "$folder/$name.hashes" >&2 || true
        bad=1
    }
}

take_sources
built musl musl-gcc -idirafter "$folder/kernel-headers"
built riscv64 riscv64-linux-gnu-gcc
hashes_of "$here/bin/minga-sim" >"$folder/here.hashes"
"$folder/musl/minga-init" 2>&1 | grep -q 'inside a sandbox only' || bad=1
qemu-riscv64-static "$folder/riscv64/minga-init" 2>&1 | grep -q 'inside a sandbox only' || bad=1
compare musl "$folder/musl/minga-sim"
compare riscv64 qemu-riscv64-static "$folder/riscv64/minga-sim"
echo "traces: ${#seeds[@]} seeds, musl and riscv64, $([ $bad = 0 ] && echo equal || echo DIFFERENT)"
exit $bad
