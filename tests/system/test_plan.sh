#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# minga plan: where replicas would go and why not elsewhere, before they are started, is where they then
# go; nothing is placed by asking. And how far a bundle is on its way there.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

# Two in the attic, one in the cellar; elsewhere one that gives too little, and one whose owner will pause it.
node_config() {
    local memory=512M zone=attic line=
    [ "$1" != 4 ] || memory=16M
    [ "$1" != 3 ] || zone=cellar line=", download: 250K"
    [ "$1" -lt 4 ] || zone=n$1
    echo "contribute: {cpu: \"1.0\", memory: $memory, disk: 512M, storage: 512M, keep_free: 0%, pids: 512$line}"
    echo "zone: $zone"
}
community_new 5
community_start
minga 5 node pause >/dev/null

"$here/../fixtures/make_script.sh" "$WORK/web" 'while :; do sleep 100; done' 'replicas: 2'
minga 1 push "$WORK/web" >/dev/null 2>&1

plan() { minga 2 --json plan web "$@" | jq -r "$query"; }
# said QUERY [OPTION...]: of the plan.
said() {
    local query=$1
    shift
    plan "$@"
}
answer_of() { said ".nodes[] | select(.node_name == \"$1\") | .answer + \": \" + .reason"; }
says() { [ "$("${@:2}")" = "$1" ]; }

# --- before anything runs
check "it is enough" says true said .enough
check "one that gives too little says so" says "no: larger than all that it gives" answer_of fir
check "one that is paused says so" says "no: paused by its owner" answer_of yew
planned=$(said '[.nodes[] | select(.answer == "next") | .node_name] | sort | join(" ")')
echo "# planned: $planned"
check "one in the attic and one in the cellar come next" eval '[ "$planned" = "ash oak" ] || [ "$planned" = "ash elm" ]'
check "and the other one would replace either" says 1 said '[.nodes[] | select(.answer == "could")] | length'
minga 2 plan web | sed "s/^/# /"
check "status 0" minga 2 plan web
check "for people, too: what is wanted" eval 'minga 2 plan web | grep -q "^web: 2 replicas wanted, each with 0.20 cpu, 32M memory, 16M disk$"'
check "and who would follow" eval 'minga 2 plan web | grep -Eq "^if one is lost: (oak|elm)$"'
check "nothing was placed" says 0 eval 'minga 2 --json status web | jq "[.services[0].replicas[] | select(.node != null)] | length"'

# --- as it was said
minga 1 start web --wait=30s >/dev/null
check "the replicas are where the plan said" says "$planned" eval 'nodes_of 2 web | sort | xargs'
check "the plan says that they run" says 2 said '[.nodes[] | select(.answer == "runs" and .replica != null)] | length'
check "three would find a place" says "true 1" said '"\(.enough) \([.nodes[] | select(.answer == "next")] | length)"' --replicas 3
refused 5 "" "five would not: status 5" eval 'minga 2 plan web --replicas 5 >/dev/null; s=$?; echo >&2; (exit $s)'
check "and how many would not" eval 'minga 2 plan web --replicas 5 >"$WORK/said"; grep -q "^no node for 2 of 5 replicas$" "$WORK/said"'
minga 1 scale web 3 --wait=30s >/dev/null
check "all who can run it do: nobody would take a lost one's place" eval 'minga 2 plan web | grep -q "^if one is lost: no other node would take its place$"'

# --- what comes over a slow line, to one that was away when it was pushed
"$here/../fixtures/make_script.sh" "$WORK/big" 'while :; do sleep 100; done' 'replicas: 2'
head -c 8000000 /dev/urandom >"$WORK/big/ballast"
node_stop 3
minga 1 push "$WORK/big" >/dev/null 2>&1
node_start 3
within 10 "the one in the cellar would run it" eval 'minga 1 --json plan big | jq -e ".nodes[] | select(.node_name == \"ash\" and .answer == \"next\")"'
minga 1 start big
told() { minga 1 --json status big | jq -r '.services[0].replicas[] | .node_name + ": " + .reason' >>"$WORK/told"; has_running 1 big 2; }
within 30 "a larger bundle runs" told
sort -u "$WORK/told" | sed 's/^/# /'
check "and it was said how much of it was here" grep -Eq '^ash: [0-9]+ % of its bundle is here$' "$WORK/told"

# --- who is silent
kill -STOP "${AGENT_PID[3]}"
check "one that stands still has no answer, or is not asked any more" eval '! minga 2 --json plan web | jq -e ".nodes[] | select(.node_name == \"ash\" and .admitted != null)"'
kill -CONT "${AGENT_PID[3]}"

# --- wrong input
refused 4 "no such service" "no such service" minga 2 plan nosuch
refused 2 "from 1 to" "no number" minga 2 plan web --replicas many
refused 2 "" "a replica is no service" minga 2 plan web/1
for name in web big; do minga 1 stop "$name" --wait=30s >/dev/null; done
for i in 1 2 3 4 5; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
