#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# packaging/check.sh OUT_FOLDER
# Judges the packages: builds them twice from the last commit, in two folders with another umask,
# locale, time zone, home and clock, and compares them byte for byte; then what lintian, rpmlint and
# hardening-check say of them, where they are installed, and how much they take on a disk. Prints
# `ok - SENTENCE` or `not ok - SENTENCE`; the packages are left in OUT_FOLDER.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
mkdir -p "$1"
out=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

pass() { echo "ok - $*"; }
fail() { echo "not ok - $*"; status=1; }
has() { command -v "$1" >/dev/null; }

commit=$(git -C "$root" rev-parse HEAD) # of both: the next one may come meanwhile

# built NAME [VARIABLE=VALUE...]: a clone of its own, built with these in the environment.
built() {
    local name=$1 folder=$work/$1/sources
    shift
    git clone -q --no-hardlinks "$root" "$folder"
    git -C "$folder" checkout -q --detach "$commit"
    (cd "$folder" && env "$@" cmake --preset package && env "$@" cmake --build --preset package -j2 &&
        env "$@" packaging/build.sh build/package "$work/$name/out") >"$work/$name.log" 2>&1 ||
        { tail -n 30 "$work/$name.log" >&2; exit 1; }
}

(umask 022 && built one LC_ALL=C TZ=UTC)
(umask 077 && built another-and-longer-place LC_ALL=C.UTF-8 TZ=Asia/Kathmandu HOME=/ CCACHE_DISABLE=1)
for package in "$work"/one/out/*; do
    name=$(basename "$package")
    if cmp "$package" "$work/another-and-longer-place/out/$name"; then
        pass "$name is the same, bit for bit, from two folders, umasks, locales and times"
    else
        fail "$name differs between two builds"
    fi
    cp "$package" "$out/"
done

deb=$(find "$work/one/out" -name '*.deb')
rpm=$(find "$work/one/out" -name '*.rpm')
dpkg-deb -x "$deb" "$work/tree"
bytes=$(du -sb "$work/tree" | cut -f1)
if [ "$bytes" -le $((5 * 1048576)) ]; then
    pass "installed it takes $((bytes / 1024)) KiB, at most 5 MiB"
else
    fail "installed it takes $((bytes / 1024)) KiB, more than 5 MiB"
fi

# judged NAME COMMAND...: it prints no error and no warning.
judged() {
    local name=$1 said
    shift
    has "$1" || { echo "# not run: $name is not installed"; return 0; }
    said=$("$@" 2>&1 | grep -E '(^| )[EW]:' || true)
    if [ -z "$said" ]; then pass "$name has no error and no warning"; else
        fail "$name:"
        echo "$said"
    fi
}
judged lintian lintian --no-tag-display-limit "$deb"
judged rpmlint rpmlint -c "$here/rpm/rpmlint.toml" "$rpm"

# hardened PROGRAM: a static one has no dynamic symbols for hardening-check to read: what it misses
# there is looked for in the program as it was built. Control flow marks are not asked for: Debian's
# own start files have none.
hardened() {
    local name said built
    name=$(basename "$1")
    said=$(hardening-check --nocfprotection "$1" 2>&1 | grep -E ': no' | grep -v '(ignored)' || true)
    built=$work/one/sources/build/package/bin/$name
    if [[ $(file -b "$1") == *static-pie* ]] && nm "$built" | grep __stack_chk_fail >/dev/null; then
        said=$(grep -v 'Stack protected: no' <<<"$said" || true)
    fi
    if [ -z "$said" ]; then pass "hardening-check of $name"; else
        fail "hardening-check of $name: $said"
    fi
}
if has hardening-check; then
    while read -r program; do
        hardened "$program"
    done < <(find "$work/tree/usr/lib/minga" -type f | sort)
else
    echo "# not run: hardening-check is not installed"
fi
exit "$status"
