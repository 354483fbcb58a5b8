#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The group minga of the machine: its members act, on what is theirs and on the node; they are not
# root. Everybody else looks. The test has user and group files of its own, in a mount namespace.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
[ -n "${GROUP_TEST_INSIDE:-}" ] ||
    GROUP_TEST_INSIDE=1 exec unshare --mount --propagation private "$here/test_group.sh"
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 4
mkdir "$WORK/etc"
grep -v '^minga:' /etc/group >"$WORK/etc/group"
grep -v '^minga:' /etc/passwd >"$WORK/etc/passwd"
echo 'minga:x:64400:alice' >>"$WORK/etc/group"
for person in alice:64401 bob:64402; do
    name=${person%:*} uid=${person#*:}
    echo "$name:x:$uid:" >>"$WORK/etc/group"
    echo "$name:x:$uid:$uid::$WORK/$name:/bin/sh" >>"$WORK/etc/passwd"
    install -d -o "$uid" -g "$uid" -m 700 "$WORK/$name"
done
for file in group passwd; do mount --bind "$WORK/etc/$file" "/etc/$file"; done
# as NAME COMMAND...: with the groups that the machine gives that person.
as() { setpriv --reuid "$1" --regid "$1" --init-groups env "HOME=$WORK/$1" "MINGA_SOCKET=$(socket_of 1)" "${@:2}"; }
minga_as() { as "$1" "$BIN/minga" "${@:2}"; }
check "one is in the group" eval 'as alice id -nG | grep -w minga'
check "the other is not" eval '! as bob id -nG | grep -w minga'

for i in 1 2 3; do node_start "$i"; done
NODE_COUNT=2 community_form
# A member of the community is whoever owns one of its machines: the third is hers.
alices_machine() { HOME=$WORK/alice MINGA_SOCKET=$(socket_of 3) "$BIN/minga" join --yes --token-file "$WORK/token"; }
check "root lets her machine join, with her key" alices_machine
chown -R alice: "$WORK/alice/.config"
within 5 "there are three machines" sees_members 1 3
"$here/../fixtures/make_web.sh" "$WORK/web.tar"
minga 1 push "$WORK/web.tar" >/dev/null
minga 1 scale web 1 >/dev/null
minga 1 start web --wait=20s >/dev/null || fail "start web"

# --- the member acts
mkdir -p "$WORK/own"
cp /bin/busybox "$WORK/own/"
printf '%s\n' 'name: own' 'command: [/busybox, sleep, "6000"]' 'resources: {memory: 16M, disk: 4M}' >"$WORK/own/service.yaml"
check "a member pushes" minga_as alice push "$WORK/own"
check "starts" minga_as alice start own --wait=20s
check "scales" minga_as alice scale own 2 --wait=20s
check "pauses the node" minga_as alice node pause
state_is() { [ "$(minga 1 --json node | jq -r .state)" = "$1" ]; }
within 5 "and it is paused" state_is paused
check "resumes it" minga_as alice node resume
within 5 "and it is ready" state_is ready
check "drains it" minga_as alice node drain
check "and resumes it" minga_as alice node resume
check "stops" minga_as alice stop own --wait=20s
check "and removes" minga_as alice rm own --yes

# --- and is not root
before=$(minga 2 --json status web | jq -c '.services[0] | [.sequence, .version]')
refused 4 "" "a member does not stop what is another's" minga_as alice stop web
refused 4 "" "nor start it" minga_as alice start web
# shellcheck disable=SC2034 # read by eval
owner=$(minga 1 --json status web | jq -r '.services[0].owner')
check "nor by its full name" eval '! minga_as alice stop "web@${owner:0:8}"'
check "nor remove it" eval '! minga_as alice rm web --yes'
refused 3 "" "a member does not leave the community" minga_as alice leave --yes
node_start 4
on_fourth() { setpriv --reuid alice --regid alice --init-groups env "HOME=$WORK/alice" "MINGA_SOCKET=$(socket_of 4)" "$BIN/minga" "$@"; }
install -o alice -m 600 "$WORK/token" "$WORK/token-alice"
refused 3 "" "nor join one" on_fourth join --yes --token-file "$WORK/token-alice"
refused 3 "" "nor found one" on_fourth community create other
check "the node that was to join is in none" eval '[ "$(minga 4 --json node | jq -r .community)" = null ]'
posts() { # NAME PATH: the status that comes back
    as "$1" curl -s -o /dev/null -w '%{http_code}\n' --max-time 5 --unix-socket "$(socket_of 1)" -X POST -d '{}' "http://a$2"
}
for path in /v1/community /v1/community/sign /v1/join /v1/leave /v1/expulsions /v1/revocations; do
    check "a member may not POST $path" eval '[ "$(posts alice '"$path"')" = 403 ]'
done
install -d -o alice -m 700 "$WORK/alice/.config/minga/community"
install -o alice -m 600 "$WORK"/home/.config/minga/community/allotment.key "$WORK/alice/.config/minga/community/"
chown -R alice: "$WORK/alice/.config"
refused 3 "" "with the community's key, too, expelling takes root" minga_as alice expel --yes "$(name_of 2)"
check "all three are members" sees_members 1 3
after=$(minga 2 --json status web | jq -c '.services[0] | [.sequence, .version]')
if [ "$before" = "$after" ]; then pass "the other's service is as it was"; else fail "the other's service is as it was: $before, $after"; fi

within 10 "and runs" has_running 2 web 1

# --- everybody else looks
for words in "services" "status web" "nodes" "members" "node" "ring" "locate web" "logs web" "lookup web"; do
    # shellcheck disable=SC2086
    check "a stranger looks: $words" minga_as bob $words
done
for words in "node pause" "node resume" "node drain" "leave --yes"; do
    # shellcheck disable=SC2086
    refused 3 "" "a stranger does not: $words" minga_as bob $words
done
for path in /v1/records /v1/chunks /v1/chunks/check /v1/node/pause; do
    check "a stranger may not POST $path" eval '[ "$(posts bob '"$path"')" = 403 ]'
done
check "nothing was paused" state_is ready

minga 1 stop web --wait=20s >/dev/null
for i in 1 2 3 4; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
umount /etc/group /etc/passwd
