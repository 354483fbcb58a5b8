#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What test_prove.sh has done in the guest.
# shellcheck disable=SC2317,SC3043
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
proved() {
    local status=0
    minga prove >/run/proved 2>&1 || status=$?
    [ "$status" = 0 ] || grep -v ' stopped ' /run/proved
    return "$status"
}
check "the package is installed" dpkg -i minga.deb
check "all units run" wait_for 10 active
check "nothing that a replica needs is missing: minga check" minga check
check "nothing gets out of a sandbox: minga prove" proved
tail -n 1 /run/proved | sed 's/^/# /'
check "no unit has failed" eval '[ -z "$(systemctl list-units --failed --no-legend)" ]'
exit $failed
