#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the command makes of an agent that ends without an answer, or has no room for one, played by
# a fixture.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-answers.XXXXXX")
AGENT=
clean_up() {
    local status=$?
    [ -z "$AGENT" ] || kill "$AGENT" 2>/dev/null || true
    rm -rf "$WORK"
    exit "$status"
}
trap clean_up EXIT

# agent ANSWERS: another one.
agent() {
    [ -z "$AGENT" ] || kill "$AGENT"
    rm -f "$WORK/said"
    echo "$1" >"$WORK/answers"
    python3 -B "$here/../fixtures/scripted_agent.py" "$WORK/socket" "$WORK/answers" >"$WORK/said" 2>"$WORK/errors" </dev/null &
    AGENT=$!
    wait_until 60 grep -q ready "$WORK/said"
}
cli() { env -u XDG_CONFIG_HOME -u SUDO_UID HOME="$WORK" MINGA_SOCKET="$WORK/socket" timeout 60 "$BIN/minga" "$@"; }
# refusal STATUS WHY
refusal() { echo "[$1, {\"error\": {\"what\": \"agent\", \"why\": \"$2\", \"do\": \"\"}}]"; }

# --- who founds, and hears nothing of it
A=$(printf 'A%.0s' {1..86})
# founding ANSWER...: those to the last question.
founding() {
    local IFS=,
    agent "{\"GET /v1/node\": [[200, {\"node_name\": \"elm\", \"node_key\": \"${A:0:43}\"}]],
            \"POST /v1/community/sign\": [[200, {\"signature\": \"$A\"}]], \"POST /v1/community\": [$*]}"
}
key() { echo "$WORK/.config/minga/community/$1.key"; }
founding '[200, {}]'
cli community create first >/dev/null 2>&1 # makes the owner's key, and says so
check "a community that is founded has its key" [ -s "$(key first)" ]
founding "$(refusal 422 'not valid')"
refused 1 "not valid" "an agent refuses" cli community create orchard
check "and no key is left" [ ! -e "$(key orchard)" ]
founding null "$(refusal 422 'a community is there')"
refused 3 "its key stays: $(key meadow)" "one that ends without an answer may have founded it" cli community create meadow
check "nobody but this key could govern it" [ -s "$(key meadow)" ]
check "the next agent is not asked, and cannot refuse what the first one did" [ "$(grep -c "POST /v1/community$" "$WORK/said")" = 1 ]
founding "$(refusal 504 'no answer in time')"
refused 5 "its key stays: $(key garden)" "so may one that is late" cli community create garden
check "and its key is there, too" [ -s "$(key garden)" ]

# --- who plans, and cannot ask everybody
ID=$(printf 'a%.0s' {1..64})
LIMITS='{"cpu_cores": 1.0, "memory_bytes": 536870912, "disk_bytes": 536870912, "pids": 512}'
OFFER="[200, {\"admitted\": true, \"reason\": \"\", \"free\": $LIMITS, \"contribution\": $LIMITS, \"need\": $LIMITS, \"spread\": \"node\", \"uptime_ms\": 1}]"
FULL=$(refusal 503 'too many answers at once')
# planning ANSWER-OF-OAK ANSWER-OF-ELM: each may be several.
planning() {
    local service="{\"name\": \"wiki\", \"id\": \"$ID\", \"owner\": \"$ID\", \"version\": 7, \"wanted\": 1, \"replicas\": []}"
    local offers="GET /v1/services/$ID/versions/7/offers"
    agent "{\"GET /v1/services\": [[200, {\"services\": [$service]}]], \"GET /v1/services/$ID\": [[200, {\"services\": [$service]}]],
            \"GET /v1/nodes\": [[200, {\"nodes\": [{\"node\": \"01\", \"node_name\": \"oak\", \"zone\": \"a\", \"state\": \"up\"},
                                                 {\"node\": \"02\", \"node_name\": \"elm\", \"zone\": \"b\", \"state\": \"up\"}]}]],
            \"$offers/01\": [$1], \"$offers/02\": [$2]}"
}
answers() { cli --json plan wiki | jq -r '[.nodes[] | .node_name + ": " + .answer + " " + .reason] | sort | join(", ")'; }
planning "$FULL" "$OFFER"
check "one that the agent has no room for ends no plan" [ "$(answers)" = "elm: next , oak: none too many answers at once" ]
check "and that is said in its row" eval 'cli plan wiki | grep -Eq "^oak .*no answer .*too many answers at once"'
check "status 0, for another one would run it" cli plan wiki
planning "$FULL, $OFFER" "$OFFER"
check "it is asked once more" [ "$(answers)" = "elm: could , oak: next " ]
planning "$OFFER" "$(refusal 404 'no such node')"
check "nor does one end it that is not known any more" [ "$(answers)" = "elm: none no such node, oak: next " ]
planning "$FULL" "$FULL"
refused 1 "too many answers at once" "where none can be asked it is said why" cli plan wiki
planning "$(refusal 504 late)" "$(refusal 504 late)"
refused 5 "no node has answered" "where all are silent, too" cli plan wiki
planning "$OFFER" null
refused 3 "agent: " "an agent that ends ends it" cli plan wiki
