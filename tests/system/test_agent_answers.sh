#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the command makes of an agent that ends without an answer, played by
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
    python3 "$here/../fixtures/scripted_agent.py" "$WORK/socket" "$WORK/answers" >"$WORK/said" 2>"$WORK/errors" </dev/null &
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
