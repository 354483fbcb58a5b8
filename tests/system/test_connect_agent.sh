#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `minga connect` and an agent that has no place for it at the moment, played by a fixture.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-busy.XXXXXX")
AGENT=
clean_up() {
    local status=$?
    [ -z "$AGENT" ] || kill "$AGENT" 2>/dev/null || true
    rm -rf "$WORK"
    exit "$status"
}
trap clean_up EXIT

# agent VISIBILITY REFUSED_COUNT: another one.
agent() {
    [ -z "$AGENT" ] || kill "$AGENT"
    rm -f "$WORK/socket"
    python3 -B "$here/../fixtures/busy_agent.py" "$WORK/socket" "$1" "$2" >"$WORK/said" &
    AGENT=$!
    wait_until 60 grep -q ready "$WORK/said"
}
connect() { HOME=$WORK MINGA_SOCKET=$WORK/socket timeout 60 "$BIN/minga" connect wiki --stdio; }
echoes() { [ "$(connect <<<"hello")" = hello ]; }

agent public 0
check "an agent with room leads to the replica" echoes
agent public 2
check "one without it is asked again, when it has told of the replica already" echoes
check "having refused" [ "$(grep -c refused "$WORK/said")" = 2 ]
agent members 0
check "where the replica hangs up it says so" eval '! connect </dev/null'
check "the pass was asked for before the port was dialled" \
    [ "$(grep -m 2 -v ready "$WORK/said" | tr '\n' ' ')" = "pass dial " ]
