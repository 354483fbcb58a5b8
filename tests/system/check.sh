# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Checks that speak: each prints `ok - SENTENCE` or `not ok - SENTENCE`, and the test goes on.

pass() { echo "ok - $*"; }
fail() { echo "not ok - $*"; }

# check SENTENCE COMMAND...: the command succeeds.
check() {
    local sentence=$1
    shift
    if "$@" >/dev/null 2>&1; then pass "$sentence"; else fail "$sentence"; fi
}

# within SECONDS SENTENCE COMMAND...: it succeeds in time; the time taken is shown. The machine may
# be a busy one: it gets PATIENCE times as long, since how fast things are is the benchmark's to say.
within() {
    local seconds=$(($1 * ${PATIENCE:-6})) sentence=$2 started
    shift 2
    started=$(now_ms)
    if wait_until "$seconds" "$@"; then
        pass "$sentence (took $(($(now_ms) - started)) ms, at most ${seconds} s)"
    else
        fail "$sentence (not within ${seconds} s)"
    fi
}

# refused STATUS TEXT SENTENCE COMMAND...: it ends with that status, one line on stderr with TEXT.
refused() {
    local status=$1 text=$2 sentence=$3 said got=0
    shift 3
    said=$("$@" 2>&1 >/dev/null </dev/null) || got=$?
    if [ "$got" = "$status" ] && [[ $said == *"$text"* ]] && [ "$(wc -l <<<"$said")" = 1 ]; then
        pass "$sentence"
    else
        fail "$sentence (status $got, said: $said)"
    fi
}

# stays SECONDS SENTENCE COMMAND...: it holds now and for that long.
stays() {
    local end sentence=$2
    end=$(($(now_ms) + $1 * 1000))
    shift 2
    while [ "$(now_ms)" -lt "$end" ]; do
        "$@" >/dev/null 2>&1 || { fail "$sentence"; return; }
        sleep 0.2
    done
    pass "$sentence"
}
