#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What agents of a real community were told, run again through the same core: the same comes out.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 3
REPLAY=${REPLAY:-$(dirname "$(realpath "$BIN/minga")")/minga-replay}
[ -x "$REPLAY" ] || REPLAY=$here/../../build/release/bin/minga-replay
recording() { echo "$WORK/recording.$1"; }
for i in 1 2 3; do
    AGENT_OPTIONS[$i]="--record $(recording "$i")"
    node_start "$i"
done
community_form
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
minga 2 push "$WORK/web.tar.zst" >/dev/null
minga 3 start web --wait=20s >/dev/null
minga 1 logs web >/dev/null
minga 1 lookup "$(minga 1 --json status web | jq -r '.services[0].id')" >/dev/null
agent_kill 2
sleep 3
half=$(printf '%064d' 7).new # as a crash in the middle of an unpacking leaves it
mkdir -p "$(dir_of 2)/state/agent/trees/$half" "$(dir_of 2)/state/agent/trees/else"
node_start 2
within 20 "three replicas after an agent's restart" has_running 1 web 3
minga 1 stop web --wait=20s >/dev/null
# One that may write little, from here on.
node_stop 3
AGENT_OPTIONS[3]="--record $WORK/short --record-limit 6K"
node_start 3
sleep 3
check "an agent whose recording is full goes on" minga 3 node
for i in 1 2 3; do node_stop "$i"; done

lacks_key() { # FILE KEY_FILE
    python3 -c 'import sys
sys.exit(bytes.fromhex(open(sys.argv[2]).read().strip()) in open(sys.argv[1], "rb").read())' "$@"
}
replayed() { "$REPLAY" --quiet "$1" >"$WORK/replayed" 2>&1; }
for i in 1 2 3; do
    check "recording $i is its owner's only" test "$(stat -c %a "$(recording "$i")")" = 600
    check "agent $i: all as recorded" replayed "$(recording "$i")"
    echo "# $(tail -n 1 "$WORK/replayed"), $(($(stat -c %s "$(recording "$i")") / 1024)) KiB"
    check "a hundred events" test "$(grep -Eo '[0-9]+ events' "$WORK/replayed" | head -n 1 | cut -d' ' -f1)" -gt 100
    check "the secret key $i is not in it" lacks_key "$(recording "$i")" "$(dir_of "$i")/state/agent/node.key"
done
check "the killed agent's recording is kept" replayed "$(recording 2).1"
echo "# $(tail -n 1 "$WORK/replayed")"
check "what lay unpacked from before is known to the next agent" \
    eval '"$REPLAY" "$(recording 2)" | grep "tree found"'
check "the short one is short" test "$(stat -c %s "$WORK/short")" -le 6144
check "the short one: all as recorded" replayed "$WORK/short"
check "and says that it is not all" grep -q 'was full' "$WORK/replayed"

# Something else was received: that cannot go unnoticed, though a few bytes (a second's low bits, say)
# do not matter.
noticed=0
for place in 10 20 30 40 50 60 70 80 90; do
    python3 - "$(recording 1)" "$WORK/changed" "$place" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) * int(sys.argv[3]) // 100] ^= 1
open(sys.argv[2], "wb").write(data)
PYTHON
    replayed "$WORK/changed" || noticed=$((noticed + 1))
done
echo "# of 9 changed recordings $noticed differ"
check "changed recordings are noticed" test "$noticed" -ge 2
within 5 "nothing is left behind" is_empty leftovers
