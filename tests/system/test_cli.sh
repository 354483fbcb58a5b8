#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a person meets at the command line: help, wrong words, exit statuses, one-line errors,
# pushes that must be refused, a full disk, used-up ports.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

node_config() {
    cat <<'CONFIG'
contribute: {cpu: "1.0", memory: 256M, disk: 256M, storage: 64M, keep_free: 0%, pids: 256}
CONFIG
}
community_new 2
absent() { MINGA_SOCKET=$WORK/nothing.sock HOME=$WORK/home "$BIN/minga" "$@"; }
check "help works without an agent" absent help
check "version works without an agent" absent version
check "the help of a word that only begins commands lists them" eval 'absent help community | grep -q "community create NAME"'
check "and --help does" eval 'absent community --help | grep -q "community create NAME"'
check "a command's help names those that begin with it" eval 'absent node --help | grep -q "node pause"'
refused 3 "" "without an agent: status 3" absent status
refused 2 "" "an unknown command: status 2" absent frobnicate
refused 2 "" "a command of a later issue is unknown" absent rollback web
refused 2 "Did you mean minga node pause?" "a second word that is mistyped: what is meant" absent node pasue
refused 2 "one word too many" "a word that nothing is like" absent node frobnicate
refused 2 "" "an unknown option: status 2" absent status --frobnicate
refused 2 "" "a missing argument: status 2" absent start
json_error() { { absent --json status 2>&1 >/dev/null || true; } | jq -e '.error.what and .error.why and .error.do'; }
check "--json errors are objects" json_error
refused 2 "Did you mean --replicas?" "a mistyped option: what is meant" absent start web --replcias 3
refused 2 "See minga help services" "of what the command does not take none is proposed" absent services --replcias 3
refused 2 "Did you mean web?" "a replica where a service is wanted" absent start web/1
refused 2 "minga stop" "scaling to nothing" absent scale web 0
refused 2 "See minga help scale" "a number below nothing is no option: the command's page is named" absent scale web -1
refused 2 '"": not a number from 1 to 32' "an empty word is seen" absent scale web ""
refused 2 "its value is empty" "an empty value is none" absent --socket= status
refused 2 "minga help lists them" "no command at all" absent
refused 2 "more than a year" "a pause for a century" absent node pause 99999999d
check "minga --version is what people try first" eval '[ "$(absent --version 2>/dev/null)" = "$(absent version 2>/dev/null)" ]'
nobody() { MINGA_SOCKET=$WORK/nothing.sock setpriv --reuid 65534 --regid 65534 --clear-groups "$BIN/minga" "$@"; }
refused 3 "not permitted: only root" "what makes a sandbox needs root, and says so of itself" nobody prove

community_start
refused 4 "" "an unknown service: status 4" minga 1 status nothing
refused 4 "" "locating an unknown service: status 4" minga 2 locate nothing
# What is closed is not opened again as something else, the connection to the agent for one, and written into.
for words in help version status nodes node services members ring storage metrics "node history" "--json status"; do
    refused 1 "output" "minga $words without an output says so" eval "minga 1 $words >&-"
    refused 1 "output" "minga $words on a full disk says so" eval "minga 1 $words >/dev/full"
done
check "without a stderr it is done all the same" eval '[ -n "$(minga 1 status 2>&-)" ]'

root=$WORK/tree
mkdir -p "$root/bin"
cp /bin/busybox "$root/bin/"
manifest() { printf '%s\n' "$@" >"$root/service.yaml"; }
ok_lines=('name: tree' 'command: [/bin/busybox, sleep, "600"]')
manifest "${ok_lines[@]}" 'resources: {memory: 12 bananas}'
refused 1 "service.yaml:3:" "a fault names line and column" minga 1 push "$root"
manifest "${ok_lines[@]}" 'replica: 3'
refused 1 "replicas" "an unknown key names the nearest" minga 1 push "$root"
manifest "${ok_lines[@]}" 'state: {mode: snapshot}'
refused 1 "not available" "a key of later is refused by name" minga 1 push "$root"
manifest 'name: tree'
refused 1 "command" "a missing command is named" minga 1 push "$root"
rm "$root/service.yaml"
refused 1 "service.yaml" "a missing manifest is named" minga 1 push "$root"
refused 4 "No such file" "a bundle that is not there" minga 1 push "$WORK/nothing.tar"
head -c 100000 /dev/urandom >"$WORK/noise.tar"
refused 1 "" "noise is no bundle" minga 1 push "$WORK/noise.tar"

manifest "${ok_lines[@]}"
pushed() { minga 1 --json push "$root"; }
# shellcheck disable=SC2034 # read by eval
first=$(pushed)
check "push answers as documented" eval 'jq -e ".name == \"tree\" and .version == 1 and (.tree | length) == 64 and .files >= 1 and .bytes > 0 and .new_bytes > 0" <<<"$first"'
# shellcheck disable=SC2034 # read by eval
again=$(pushed)
check "the same tree is the same version and moves nothing" eval '[ "$(jq -r ".version, .new_bytes" <<<"$again" | tr "\n" " ")" = "1 0 " ]'
touch "$root/more"
check "a changed tree is version 2" eval '[ "$(pushed | jq .version)" = 2 ]'
chmod u+s "$root/more"
check "setuid is dropped and said" eval 'minga 1 push "$root" 2>&1 | grep -ci setuid'
chmod u-s "$root/more"
check "push from stdin" eval 'tar -C "$root" -cf - . | minga 1 --json push - | jq -e ".name == \"tree\""'

left_before=$(find "$WORK/n1/state/agent" "$WORK/n2/state/agent" -type f -name '*' ! -name '*.db*' | wc -l)
for hostile in '../evil' '/etc/evil'; do
    python3 - "$WORK/hostile.tar" "$hostile" <<'PY'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w") as tar:
    for name, data in (("service.yaml", b"name: x\ncommand: [/x]\n"), (sys.argv[2], b"evil")):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
PY
    refused 1 "$hostile" "a path out of the tree is refused and named: $hostile" minga 1 push "$WORK/hostile.tar"
done
left_after=$(find "$WORK/n1/state/agent" "$WORK/n2/state/agent" -type f -name '*' ! -name '*.db*' | wc -l)
check "nothing of a refused bundle stays" [ "$left_before" = "$left_after" ]

# --- where archives are unpacked
tar -C "$root" -cf "$WORK/tree.tar" .
mkdir "$WORK/tiny"
mount -t tmpfs -o size=512K "minga-$COMMUNITY_ID" "$WORK/tiny"
TMPDIR=$WORK/tiny refused 1 "No space left on device. It is unpacked in $WORK/tiny; TMPDIR=FOLDER" \
    "a full disk here: which, and what to do" minga 1 push "$WORK/tree.tar"
check "nothing of it stays there" is_empty ls -A "$WORK/tiny"
umount "$WORK/tiny"
TMPDIR=$WORK/nowhere refused 1 "TMPDIR=FOLDER" "no such folder: the same" minga 1 push "$WORK/tree.tar"

# --- storage share of 64M
head -c 90000000 /dev/urandom >"$root/large"
refused 1 "storage" "what is larger than the storage share is refused while pushing" minga 1 push "$root"
rm "$root/large"
check "the share was not exceeded on the node that it was pushed through" eval 'minga 1 --json node | jq -e ".used.storage_bytes > 0 and .used.storage_bytes <= .contribution.storage_bytes"'
check "and the agents go on" sees_members 2 2
check "and smaller things are still stored" eval 'pushed | jq -e ".version >= 2"'

# --- documents and tables
minga 1 start tree --wait=20s >/dev/null || fail "start tree"
check "status has the documented keys" eval 'minga 2 --json status tree | jq -e ".community and (.services[0] | .name and .id and .owner and .version and .state and .wanted == 1 and .running == 1 and .manager and (.epoch != null)) and (.services[0].replicas[0] | .id == \"tree/1\" and .incarnation and .node and .node_name and .address and .state == \"running\" and .health == \"ok\" and (.restarts != null) and .cpu_limit_cores and .memory_limit_bytes and .disk_limit_bytes)"'
check "nodes has the documented keys" eval 'minga 2 --json nodes | jq -e ".community and (.nodes[0] | .node and .node_name and .address and .owner and .state and .reachable and .arch and .version and .free and .since)"'
check "members has the documented keys" eval 'minga 2 --json members | jq -e ".members[0] | .owner and (.nodes != null) and (.services != null) and .since"'
check "node has the documented keys" eval 'minga 2 --json node | jq -e ".node and .node_name and .community and .state and (.rule != null) and .reachable and .contribution.memory_bytes and (.used.memory_bytes != null) and (.replicas != null)"'
check "ring has the documented keys" eval 'minga 2 --json ring | jq -e ".node and .positions[0] and .predecessors[0] and .successors[0] and (.nodes != null)"'
check "lookup has the documented keys" eval 'minga 2 --json lookup 0000000000000000000000000000000000000000000000000000000000000005 | jq -e ".key and .responsible and .holders[0] and (.hops != null) and (.path != null)"'
check "lookup takes any text, and says so" eval 'minga 2 lookup "no such service, surely" | grep -q "the hash of that text"'
check "lookup of a text is the same everywhere" eval '[ "$(minga 1 --json lookup xyzzy | jq -r .key,.kind,.responsible)" = "$(minga 2 --json lookup xyzzy | jq -r .key,.kind,.responsible)" ]'
check "lookup --trace shows the way" eval 'minga 2 lookup --trace xyzzy | grep -q "^0 .*" && minga 2 lookup --trace xyzzy | grep -q "responsible" && minga 2 lookup --trace xyzzy | grep -q "^took"'
check "ring says what the node sees" eval 'minga 1 --json ring | jq -e ".share > 0 and .share <= 1 and .epoch > 0 and .lease.state == \"held\" and .lease.left_ms > 0 and .lease.keeper and (.neighbours[0] | .role and .node_name and .state and .address and .position and (.rtt_ms | . == null or . >= 0))"'
narrow() { COLUMNS=60 minga 2 status tree | awk 'length($0) > 60 {exit 1}'; }
check "tables fit the window" narrow
minga 1 stop tree --wait=20s >/dev/null
check "of what is off none is wanted: it does not look like a fault" eval 'minga 1 services | grep -q "^tree *off *0/0 "'
manifest 'name: loop' 'command: [/bin/busybox, sh, "-c", "echo no such table; exit 3"]'
minga 1 push "$root" >/dev/null 2>&1
minga 1 start loop >/dev/null
within 20 "what ends again and again says when it is tried again" eval \
    'minga 2 status loop | grep -Eq "no such table; restarted [0-9]+ times.*" && minga 2 status loop | grep -Eq "next try in [0-9]+ s"'
within 20 "and so does its document" eval \
    'minga 2 --json status loop | jq -e ".services[0].replicas[0].next_try | fromdateiso8601 - now | . > -2 and . < 62"'
check "and its own node" eval 'minga 1 --json node | jq -s -e ".[0].replicas[0] // {} | has(\"next_try\")" || minga 2 --json node | jq -e ".replicas[0] | has(\"next_try\")"'
minga 1 rm loop --yes >/dev/null
manifest "${ok_lines[@]}"

# --- on how many disks a write lies
check "a write says on how many disks it lies" eval 'minga 1 --json scale tree 2 | jq -e ".copies == 2"'
check "and nothing more when they are two" eval '[ -z "$(minga 1 scale tree 1 2>&1)" ]'
cable_cut 2
within 10 "node 2 is away" sees_members 1 1
check "alone, it says that there is one" eval 'minga 1 --json scale tree 2 | jq -e ".copies == 1"'
check "a person is warned" eval 'minga 1 scale tree 3 2>&1 | grep -q "on one disk alone"'
echo alone >"$root/alone"
check "of a push, too" eval 'minga 1 push "$root" 2>&1 >/dev/null | grep -c "on one disk alone" | grep -qx 1'
cable_back 2
within 30 "it spreads when the other is met again" eval 'sees_members 1 2 && minga 2 --json status tree | jq -e ".services[0].wanted == 3 or .services[0].version >= 3"'
check "and the next write has two" eval 'minga 1 --json scale tree 2 | jq -e ".copies == 2"'

# --- what others see of a node that is paused
check "a node that takes replicas has no note" eval '! minga 1 nodes | grep -q "takes nothing now"'
minga 2 node pause >/dev/null
within 5 "one that is paused: nothing will be placed there" eval \
    'minga 1 nodes | grep -q "^$(name_of 2) .*takes nothing now"'
minga 2 node resume >/dev/null
within 5 "and no more when it is back" eval '! minga 1 nodes | grep -q "takes nothing now"'

# --- columns, order and notes of many services
printf '%s\n' 'name: big' 'command: [/bin/busybox, sleep, "600"]' 'resources: {memory: 64M, disk: 8M}' >"$root/service.yaml"
minga 1 push "$root" >/dev/null 2>&1
minga 1 start big >/dev/null
minga 1 scale big 5 >/dev/null
minga 1 start tree --replicas 1 --wait=20s >/dev/null
within 10 "a service that lacks nodes says so" eval 'minga 1 --json status big | jq -e ".services[0].reason | test(\"only 2 nodes\")"'
screen() { COLUMNS=$1 minga 1 status >"$WORK/screen"; }
check "what needs somebody comes first, with its reason in full, in any window" eval \
    'for w in 40 80 120; do screen $w && sed -n 2p "$WORK/screen" | grep -q "^big " &&
        tr -s " \n" " " <"$WORK/screen" | grep -q "only 2 nodes can run it" && ! grep -q "[.][.][.]" "$WORK/screen" || exit 1; done'
check "all replicas stand in one table" [ "$(grep -c "REPLICA " "$WORK/screen")" = 1 ]

for i in 1 2; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
