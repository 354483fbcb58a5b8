#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Another implementation joins: independent/ was written after docs/protocol.md, in another language, and
# shares nothing with mingad but overlay/protocol.proto. It is let in, stands on the ring, keeps records,
# hands arcs over and takes them over, leaves, and is killed.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 4
# shellcheck source=tests/system/stranger.sh
. "$here/stranger.sh"

check "keys, a Join and a Hello are those of the page's test vector" \
    python vectors.py "$here/../../docs/protocol.md"

places 1 5 8 c
stranger_new f
node_start 4

# --- it becomes a member like any other
stranger_joins node.py
ids_note 1 2 3 4 9
within 5 "the ring is ideal, with it" is_ideal 1 2 3 9
within 5 "all members know the same as it" eval '[ "$(status .agrees)" = true ]'
check "its owner is a member" eval 'minga 2 --json members | jq -e ".members[] | select(.owner != null and .name == \"stranger\")"'
check "it is reached directly: two have dialled it" \
    eval '[ "$(minga 3 --json nodes | jq -r ".nodes[] | select(.node_name == \"ivy\") | .reachable")" = direct ]'

# --- look-ups
for each in 0:1 3:2 6:3 9:9 d:9; do
    digit=${each%:*} owner=${each#*:}
    check "who answers for $digit...: agents say so" eval '[ "$(answerer 1 "$(key $digit)")" = "${id[$owner]}" ] && [ "$(answerer 3 "$(key $digit)")" = "${id[$owner]}" ]'
    check "who answers for $digit...: so does the stranger, told by the owner" \
        eval '[ "$(ask lookup "$(key $digit)" | jq -r .responsible)" = "${id[$owner]}" ]'
done

# --- records
owner=$(status .owner)
for where in out in; do
    name=$(ask own "$owner" "$where" | jq -r .)
    put=$(ask put "$name")
    # shellcheck disable=SC2034 # in what eval reads
    service=$(jq -r .service <<<"$put")
    check "a record of its owner's, $where of its arc, is acknowledged" eval '[ "$(jq -r .outcome <<<"$put")" = OUTCOME_OK ]'
    check "and another version of it" eval '[ "$(ask put "$name" | jq -r .outcome)" = OUTCOME_OK ]'
    check "a sequence that does not follow is a conflict" eval '[ "$(ask put "$name" 1 | jq -r .outcome)" = OUTCOME_CONFLICT ]'
    check "a wrong signature is refused" eval '[ "$(ask put "$name" 0 1 | jq -r .outcome)" = OUTCOME_REFUSED ]'
    check "it reads the second version" eval '[ "$(ask get "$service" | jq -r .sequence)" = 2 ]'
    within 5 "agents know the service" eval '[ "$(minga 1 --json services | jq -r ".services[] | select(.name == \"$name\") | .sequence")" = 2 ]'
    check "and trace it to who answers for it and all who keep it" \
        eval '[ "$(minga 2 --json lookup --trace "$service" | jq "[.trace[] | select(.role == \"holder\")] | length")" = 4 ]'
done

# An agent's service whose records the stranger answers for.
name=$(ask own "$(minga 1 key | awk '$1 == "key" {print $2}')" in | jq -r .)
mkdir "$WORK/web"
"$here/../fixtures/make_web.sh" "$WORK/web.tar"
tar -C "$WORK/web" -xf "$WORK/web.tar"
sed -i "s/^name: .*/name: $name/" "$WORK/web/service.yaml"
tar -C "$WORK/web" --owner=0 --group=0 -cf "$WORK/web.tar" .
check "an agent pushes a service whose records the stranger answers for" minga 2 push "$WORK/web.tar"
check "it is started" minga 2 start "$name" --wait=10s
within 5 "and runs" has_running 3 "$name" 3
check "the stranger holds its version, too" eval '[ "$(status ".records | index(\"2 $name\")")" != null ]'
check "it was asked for them" eval '[ "$(status .heard.RecordGet)" -gt 0 ] && [ "$(status .heard.RecordPut)" -gt 0 ]'
minga 2 stop "$name" --wait=10s >/dev/null

# --- arcs
# shellcheck disable=SC2034 # in what eval reads
epoch=$(status .epoch)
minga 4 join --yes --token-file "$WORK/token" >/dev/null
within 5 "an agent that comes to stand in its arc is handed its part" is_ideal 1 2 3 4 9
check "with a greater epoch" eval '[ "$(minga 4 --json ring | jq .epoch)" -gt "$epoch" ]'
check "and answers for its part" eval '[ "$(answerer 1 "$(key 9)")" = "${id[4]}" ] && [ "$(answerer 1 "$(key d)")" = "${id[9]}" ]'
node_kill 4
within 8 "when that one is killed, the stranger takes its arc over" is_ideal 1 2 3 9
check "and answers for it" eval '[ "$(answerer 2 "$(key 9)")" = "${id[9]}" ]'
node_start 4
within 8 "it is back, and is handed its arc again" is_ideal 1 2 3 4 9
minga 4 leave --yes >/dev/null
within 2 "when it leaves, its arc is the stranger's at once" eval 'is_ideal 1 2 3 9 && [ "$(answerer 2 "$(key 9)")" = "${id[9]}" ]'
within 5 "at rest all is confirmed in short, by it and by its keeper" \
    eval '[ "$(status .confirmed[0])" -gt 0 ] && [ "$(status .confirmed[1])" -gt 0 ]'
check "all members know the same as it" eval '[ "$(status .agrees)" = true ]'

# --- and goes
ask leave >/dev/null
within 1 "when the stranger leaves, the agents see it at once" agents_see 3
within 2 "and the ring is ideal without it" is_ideal 1 2 3
stranger_gone
stranger_start node.py
within 5 "it is back, without being let in again" sees_members 2 4
within 5 "and has its arc" is_ideal 1 2 3 9
stranger_kill
within 2 "when it is killed, the agents notice" agents_see 3
within 5 "and take its arc over" is_ideal 1 2 3

for i in 1 2 3 4; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
