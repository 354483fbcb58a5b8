#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What test_newcomer.sh has done in the guest: the guide's commands, and a look at what came of them.
# shellcheck disable=SC2317,SC3043
# shellcheck source=tests/vm/guest_checks.sh
. ./guest_checks.sh
# The guest has no sudo: whoever types is root.
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
payload=$PWD
mkdir -p /srv/newcomer
cp minga_*.deb /srv/newcomer/
cd /srv/newcomer || exit 1
type_step() { # FILE: what a person sees goes to the log
    sed 's/^/# $ /' "$1" >&3
    local status=0
    yes 2>/dev/null | bash -e "$1" >/run/said 2>&1 || status=$? # apt asks before it installs
    sed 's/^/#   /' /run/said >&3
    return "$status"
}
answers() { curl -sf --max-time 3 "http://$(minga locate hello --port http | head -n 1)/" | grep -q Hello; }
exec 3>&1
for step in "$payload"/step-*; do
    check "typed: $(head -n 1 "$step")" type_step "$step"
done
check "a replica runs" eval '[ "$(minga --json status hello | jq ".services[0].running")" = 1 ]'
check "it answers" wait_for 10 answers
minga status hello 2>&1 | sed 's/^/#   /'
minga node 2>&1 | sed 's/^/#   /'
exit $failed
