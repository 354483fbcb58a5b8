#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The community's storage as people see it: what is stored and for whom, a disk that rots, a disk that
# is lost, a full one, a member that sleeps.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

node_config() {
    local storage=64M free=0%
    [ "$1" != 5 ] || storage=8M
    [ "$1" != 4 ] || free=8M
    cat <<CONFIG
contribute: {cpu: "1.0", memory: 256M, disk: 64M, storage: $storage, keep_free: $free, pids: 256}
CONFIG
}
community_new 5
node_disk 4 64m
community_start

bundle() { # bundle NAME MIB
    mkdir -p "$WORK/$1/bin"
    cp "$(command -v busybox)" "$WORK/$1/bin/sh"
    head -c "$(($2 * 1048576))" /dev/urandom >"$WORK/$1/data"
    printf 'name: %s\ncommand: [/bin/sh, -c, "sleep 1000"]\nresources: {cpu: 0.1, memory: 32M, disk: 32M, pids: 16}\n' \
        "$1" >"$WORK/$1/service.yaml"
}
stored() { minga "$1" --json storage; }
files() { find "$(dir_of "$1")/state/agent/chunks" -type f ! -name '.*' | sort; }
# of_all FILTER: over all nodes' documents.
of_all() { for i in 1 2 3 4 5; do [ -z "${AGENT_PID[$i]:-}" ] || stored "$i"; done | jq -se "$1"; }
# copies NAME: on how many running nodes' disks each of its chunks is, the least.
copies() {
    local file count least=99
    while read -r file; do
        count=0
        for i in 1 2 3 4 5; do
            [ -z "${AGENT_PID[$i]:-}" ] || [ ! -e "$(dir_of "$i")/state/agent/chunks/$file" ] || count=$((count + 1))
        done
        [ "$count" -ge "$least" ] || least=$count
    done <"$WORK/$1.chunks"
    echo "$least"
}
has_copies() { [ "$(copies "$1")" -ge "$2" ]; }

# --- what is shown
bundle wiki 6
minga 1 push "$WORK/wiki" >/dev/null || fail "push"
for i in 1 2 3 4 5; do files "$i"; done | xargs -n 1 basename | sort -u >"$WORK/wiki.chunks"
check "storage has the documented keys" eval 'stored 1 | jq -e ".node and .share.limit_bytes == 67108864 and .share.used_bytes > 0 and (.stored[0] | .service and .tree and .chunks > 0 and .bytes > 0 and .copies_least >= 1) and .repair.under_way == [] and .repair.absent == [] and (.garbage.collecting | not)"'
within 8 "the owner's records are read within seconds: whose it is, and which version" eval 'stored 1 | jq -e "[.stored[] | select(.name == \"wiki\" and .version == 1 and .state == \"kept\" and .owner)] | length == 1"'
within 12 "every chunk is known to be there three times, as soon" of_all '[.[].stored[] | select(.name == "wiki") | .copies_least] | min >= 3'
check "the table says the same" eval 'minga 1 storage | grep -q "^wiki .* kept "'
check "and the share" eval 'minga 1 storage | grep -q "^share: .* of 64M in use"'
narrow() { COLUMNS=50 minga 1 storage | sed '/^share/,$d' | awk 'length($0) > 50 {exit 1}'; }
check "it fits the window" narrow
check "any local user may look" setpriv --reuid 65534 --regid 65534 --clear-groups "$BIN/minga" --socket "$(socket_of 1)" storage
refused 2 "storage" "it takes no word" minga 1 storage everything
refused 2 "" "nor a strange option" minga 1 storage --all
refused 3 "" "without an agent it says so" "$BIN/minga" --socket "$WORK/none" storage
check "a bundle's chunks name their service and tree, both or none" eval '[ "$(curl -s -o /dev/null -w "%{http_code}" --unix-socket "$(socket_of 1)" -X POST "http://m/v1/chunks?service=12" --data x)" = 400 ]'

# --- rot: found by reading now and then, replaced from a good holder
victim=$(files 2 | sed -n 1p)
printf 'rotten' | dd of="$victim" conv=notrunc 2>/dev/null
sum_of() { sha256sum "$1" | cut -d ' ' -f 1; }
# shellcheck disable=SC2034 # read by eval
good=$(for i in 1 3 4 5; do find "$(dir_of "$i")/state/agent/chunks" -name "$(basename "$victim")"; done | sed -n 1p)
within 240 "a rotten chunk is found without anybody asking, and replaced" eval '[ "$(sum_of "$victim")" = "$(sum_of "$good")" ]'
check "and counted" eval 'stored 2 | jq -e ".repair.rotten_chunks == 1"'

# --- a member that sleeps for a while moves nothing
moved() { of_all '[.[].repair.moved_chunks] | add'; }
# shellcheck disable=SC2034 # read by eval
before=$(moved)
node_kill 3
within 30 "an absence is shown, and how long it is waited for" eval 'stored 1 | jq -e ".repair.absent | length == 1 and .[0].state == \"expected\" and .[0].patience_s >= 259200"'
stays 50 "while two copies are up nothing moves" eval '[ "$(of_all "[.[].repair.moved_chunks] | add")" = "$before" ]'
node_start 3
within 30 "it is back" eval 'stored 1 | jq -e ".repair.absent == []"'

# --- a lost disk is filled again
node_kill 4
rm -rf "$(dir_of 4)/state/agent/chunks"
held=$(files 2 | wc -l)
node_start 4
within 60 "who lost its chunks gets what it should hold" eval '[ "$(files 4 | wc -l)" -gt 0 ] && has_copies wiki 3'
check "others kept theirs" [ "$(files 2 | wc -l)" -ge "$held" ]

# --- one copy left awake
node_kill 2
node_kill 3
within 100 "with two members gone every chunk is up twice again" has_copies wiki 2
within 60 "and that is known" of_all '[.[].stored[] | select(.name == "wiki") | .copies_least] | min >= 2'
node_start 2
node_start 3

# --- a node whose disk is full from outside wedges nothing
cat /dev/zero >"$(dir_of 4)/state/filler" 2>/dev/null || true
bundle second 3
check "what a full member cannot take others do" minga 1 push "$WORK/second"
check "the full one answers" eval 'stored 4 | jq -e .node'
check "and goes on being a member" sees_members 4 5
check "it says why it takes nothing" eval 'minga 4 storage | grep "^nothing is taken at present: .* is full"'
# Somebody else leaves less than the owner wants to be kept free, though not nothing.
truncate -s -4M "$(dir_of 4)/state/filler"
check "nor does it take what keep_free is for" eval 'minga 4 storage | grep "^nothing is taken at present: .*keep_free"'
bundle third 2
check "which others take" minga 1 push "$WORK/third"
rm "$(dir_of 4)/state/filler"
within 5 "it takes chunks when there is room again" eval 'stored 4 | jq -e ".share.refuses == \"\""'

# --- inodes run out, from outside
mkdir "$(dir_of 4)/state/many"
mount -o remount,nr_inodes=$(($(df --output=iused "$(dir_of 4)/state" | tail -n 1) + 200)) "$(dir_of 4)/state"
for ((i = 1; i <= 200; i++)); do touch "$(dir_of 4)/state/many/$i" 2>/dev/null || break; done
check "there are no inodes left" eval '! touch "$(dir_of 4)/state/many/one"'
bundle fourth 2
check "others take what it cannot" minga 1 push "$WORK/fourth"
bundle through 2
check "pushed through it, others take that, too" minga 4 push "$WORK/through"
check "it shows why" eval 'minga 4 storage | grep "^nothing is taken at present: .*no inodes"'
check "and goes on being a member" sees_members 4 5
check "with its records" eval 'minga 4 --json services | jq -e "[.services[] | select(.name == \"fourth\")] | length == 1"'
rm -r "$(dir_of 4)/state/many"
within 5 "with inodes again it takes chunks" eval 'stored 4 | jq -e ".share.refuses == \"\""'
bundle fifth 2
check "also what is pushed through it" minga 4 push "$WORK/fifth"

# --- the share of 8M of node 5 is kept, whatever is pushed
bundle large 20
check "what one node has no room for others take" minga 1 push "$WORK/large"
check "the small share is not exceeded" eval 'stored 5 | jq -e ".share.used_bytes <= .share.limit_bytes"'
check "nor on its disk" [ "$(du -s --block-size=1 "$(dir_of 5)/state/agent/chunks" | cut -f 1)" -le $((8 * 1048576 + 65536)) ]
check "through the small node everything is found" minga 5 start large --wait=60s
