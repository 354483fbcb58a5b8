#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# docs/developer.md, typed literally: its command and its message are added, built and tried. The sources and what is
# built of them are not touched: all is written to a layer above them, in a mount namespace of its own.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
root=$(realpath "$here/../..")

# The release build is what most of it is taken from: only what has changed is built again.
if [ "${1:-}" != inside ]; then
    [ -f "$root/build/release/build.ninja" ] || { echo "# not run: there is no build/release"; exit 0; }
    WORK=$(mktemp -d /var/tmp/minga-developer.XXXXXX)
    trap 'rm -rf "$WORK"' EXIT
    mkdir "$WORK/changed" "$WORK/work"
    WORK=$WORK unshare --mount --propagation private "$0" inside
    exit
fi
mount -t overlay -o "lowerdir=$root,upperdir=$WORK/changed,workdir=$WORK/work" overlay "$root" 2>/dev/null ||
    { echo "# not run: no layer can be mounted here"; exit 0; }
cd "$root"
export LC_ALL=C.UTF-8

typed() { bash -eo pipefail -c "$1" </dev/null >"$WORK/said" 2>&1; }
# done_here SENTENCE COMMAND: it succeeds, or what it said is shown.
done_here() {
    if typed "$2"; then pass "$1"; else fail "$1 ($(tail -n 4 "$WORK/said" | tr '\n' ' '))"; fi
}
says() { check "it prints: $1" grep -qF -- "$1" "$WORK/said"; }
built() { echo "nice cmake --build --preset release -j2 --target $*"; }
unit() { echo "ctest --test-dir build/release --no-tests=error --output-on-failure -R '^unit_$1\$'"; }

# followed HEADING TARGETS UNIT: a section's commands. `./dev build` and `./dev test unit` would make and run everything.
followed() {
    local commands command
    mapfile -d '' -t commands < <(python3 tests/tools/guide_commands.py docs/developer.md "$1")
    [ "${#commands[@]}" -ge 5 ] || fail "only ${#commands[@]} commands below \"$1\""
    echo "# $1: ${#commands[@]} commands"
    for command in "${commands[@]}"; do
        case $command in
        "./dev build"*) done_here "what has changed is built: $2" "$(built "$2")" ;;
        "./dev test unit"*) done_here "its tests pass: $3" "$(unit "$3")" ;;
        "./dev lint"*) done_here "the house rules hold" "python3 tests/tools/house_rules.py" ;;
        *) done_here "${command%%$'\n'*}" "$command" ;;
        esac
    done
}

followed "A command, step by step" "minga unit_cli_manual" cli_manual
done_here "minga help lists it" "build/release/bin/minga help"
says "how much processor this node gives"
check "without an agent it says so, with the status for that" \
    eval 'build/release/bin/minga --socket /nowhere gives; [ $? = 3 ]'

followed "A message, step by step" "minga-sim unit_agent_message" agent_message
check "the new test is among them" grep -q no_node_runs_more_replicas tests/unit/agent/message.c

# The pages' other commands name things that are there.
for program in minga-sim minga-exhaustive minga-replay unit_agent_rules_years unit_agent_year; do
    check "docs name $program, and ./dev build makes it" test -x "build/release/bin/$program"
done
done_here "a seed of the guide to the simulator runs with its trace" "build/release/bin/minga-sim --seed 17 --trace"
says "sim: 1 seed, 0 failed"
mapfile -t named < <(grep -oE '`(agent|base|overlay|images|sandbox|tests|docs|packaging)/[A-Za-z0-9_./-]+`' docs/*.md README.md |
    grep -vE 'NAME|LAYER|CORPUS|cmd_gives' | sed 's/^[^:]*:`//; s/`$//' | sort -u)
[ "${#named[@]}" -gt 40 ] || fail "only ${#named[@]} files are named in the docs"
missing=
for file in "${named[@]}"; do [ -e "$file" ] || missing="$missing $file"; done
if [ -z "$missing" ]; then pass "each of ${#named[@]} files that the docs name is there"; else fail "the docs name what is not there:$missing"; fi
