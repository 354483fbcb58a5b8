#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# packaging/build.sh BUILD_FOLDER OUT_FOLDER [deb] [rpm]
# Makes the packages of an already built BUILD_FOLDER: installs it below a folder (cmake/install.cmake
# says what lies where), and puts that same tree into a .deb and an .rpm. Times, owners, modes and the
# order of files do not depend on who builds when and where.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
build=$(realpath "$1")
out=$2
shift 2
formats=("$@")
[ $# -gt 0 ] || formats=(deb rpm)
export LC_ALL=C TZ=UTC
umask 022
mkdir -p "$out"
out=$(realpath "$out")

version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
summary="volunteers' machines run services together, without a server"
# Who answers for a package is who builds it; Debian's variables say so, else the last commit does.
maintainer="$(git -C "$root" log -1 --format=%an) <$(git -C "$root" log -1 --format=%ae)>"
[ -z "${DEBEMAIL:-}" ] || maintainer="${DEBFULLNAME:-Minga} <$DEBEMAIL>"
# The last commit's time, or what the caller says; https://reproducible-builds.org/specs/source-date-epoch
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage

install_tree() {
    DESTDIR=$stage cmake --install "$build" --prefix /usr --strip >/dev/null
    find "$stage/usr/share/man" -type f -exec gzip -9n {} +
    install -D -m 644 "$here/copyright" "$stage/usr/share/doc/minga/copyright"
    find "$stage" -type d -exec chmod 755 {} +
    find "$stage" -type f -exec chmod 644 {} +
    find "$stage/usr/lib/minga" -type f -exec chmod 755 {} +
    find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

deb() {
    local tree=$work/deb architecture depends
    architecture=${DEB_HOST_ARCH:-$(dpkg --print-architecture)}
    cp -a "$stage" "$tree"
    mkdir -p "$tree/DEBIAN" "$work/debian"
    date -u -d "@$SOURCE_DATE_EPOCH" -R >"$work/date"
    printf 'minga (%s) unstable; urgency=medium\n\n  * See docs/ and the history of the sources.\n\n -- %s  %s\n' \
        "$version" "$maintainer" "$(cat "$work/date")" |
        gzip -9n >"$tree/usr/share/doc/minga/changelog.gz"
    install -D -m 644 "$here/debian/lintian-overrides" "$tree/usr/share/lintian/overrides/minga"
    # What the programs need is read from them.
    printf 'Source: minga\n\nPackage: minga\nArchitecture: any\n' >"$work/debian/control"
    depends=$(cd "$work" && find deb/usr/lib/minga -type f -print0 |
        xargs -0 dpkg-shlibdeps -O --ignore-missing-info 2>/dev/null | sed 's/^shlibs:Depends=//')
    cat >"$tree/DEBIAN/control" <<CONTROL
Package: minga
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$stage" | cut -f1)
Depends: $depends, e2fsprogs, systemd
Recommends: passt, polkitd
Section: net
Priority: optional
Description: $summary
$(sed 's/^/ /; s/^ $/ ./' "$here/description")
CONTROL
    echo /etc/minga/minga.yaml >"$tree/DEBIAN/conffiles"
    for script in postinst prerm postrm; do
        install -m 755 "$here/debian/$script" "$tree/DEBIAN/$script"
    done
    (cd "$tree" && find etc usr -type f ! -path 'etc/*' -print0 | sort -z | xargs -0 md5sum) \
        >"$tree/DEBIAN/md5sums"
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    chmod 644 "$tree/DEBIAN/"{control,conffiles,md5sums}
    dpkg-deb --root-owner-group --uniform-compression -Zxz -b "$tree" \
        "$out/minga_${version}_$architecture.deb" >/dev/null
    echo "$out/minga_${version}_$architecture.deb"
}

rpm_package() {
    local architecture
    architecture=${RPM_ARCH:-$(uname -m)}
    mkdir -p "$work/rpm"
    {
        cat <<SPEC
Name: minga
Version: $version
Release: 1
Summary: ${summary^}
License: GPL-3.0-or-later
Group: System Environment/Daemons
Packager: $maintainer
Requires: e2fsprogs, systemd
Recommends: passt, polkit
%description
$(cat "$here/description")
%install
cp -a "$stage/." "%{buildroot}"
%post
$(cat "$here/rpm/post")
%preun
$(cat "$here/rpm/preun")
%postun
$(cat "$here/rpm/postun")
%files
%config(noreplace) /etc/minga/minga.yaml
%dir /etc/minga
%dir /usr/lib/minga
%license /usr/share/doc/minga/copyright
SPEC
        (cd "$stage" && find usr \( -type f -o -type l \) ! -name copyright | sort | sed 's#^#/#')
        cat <<SPEC
%changelog
* $(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y') $maintainer - $version-1
- See the history of the sources
SPEC
    } >"$work/minga.spec"
    rpmbuild -bb --quiet --target "$architecture" \
        --define "_topdir $work/rpm" --define "_rpmdir $out" --define "_build_name_fmt minga-%%{VERSION}.%%{ARCH}.rpm" \
        --define "_build_id_links none" --define "debug_package %{nil}" --define "_buildhost minga" \
        --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
        --define "__os_install_post %{nil}" --define "_unitdir /usr/lib/systemd/system" \
        "$work/minga.spec" >"$work/rpm.log" 2>&1 || { cat "$work/rpm.log" >&2; exit 1; }
    echo "$out/minga-$version.$architecture.rpm"
}

install_tree
for format in "${formats[@]}"; do
    case $format in
    deb) deb ;;
    rpm) rpm_package ;;
    *)
        echo "packaging/build.sh: no such format: $format" >&2
        exit 2
        ;;
    esac
done
