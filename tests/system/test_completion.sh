#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What bash, zsh and fish complete is what `minga help` names: each command, each of its options, also behind a
# service's name and behind an option with a value; names of services are one word a service. No agent is needed:
# one is played by a command in front.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
completions=$(realpath "$here/../../packaging/completions")

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-completion.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
mkdir "$WORK/bin" "$WORK/home"
cat >"$WORK/bin/minga" <<PLAYED
#!/bin/sh
case \$1 in
services) printf 'SERVICE  STATE\nwiki     degraded\n    0/1: a note below\nweb@k7f3ab21  active\n' ;;
nodes) printf 'NODE  ID\noak   1234\n' ;;
*) exec "$BIN/minga" "\$@" ;;
esac
PLAYED
chmod 755 "$WORK/bin/minga"
touch "$WORK/home/bundle.tar"

# Each prints what is offered for the words given, of which the last is not complete, one a line.
bash_offers() {
    # shellcheck disable=SC2016
    bash -c '. "$1"; shift; COMP_WORDS=(minga "$@"); COMP_CWORD=$#; _minga; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$completions/minga.bash" "$@"
}
# zsh's compadd belongs to its line editor: here it prints, with what begins as the last word does.
zsh_offers() {
    # shellcheck disable=SC2016
    zsh -fc 'compadd() {
            local -a all; local option
            while [[ $1 == -* ]]; do option=$1; shift
                case $option in -a) all=(${(P)1}); shift ;; -S) shift ;; --) break ;; esac
            done
            for word in $all $@; do [[ $word != $words[CURRENT]* ]] || print -r -- $word; done
        }
        _files() { print -rl -- *(N) }
        function _run { words=(minga "$@"); CURRENT=$#words; source '"$completions"'/_minga }
        _run "$@"' zsh "$@"
}
fish_offers() {
    # shellcheck disable=SC2016
    fish --no-config -c 'source $argv[1]; complete -C (string join " " -- minga $argv[2..-1])' \
        "$completions/minga.fish" "$@" | cut -f 1
}
offers() { (cd "$WORK/home" && HOME=$WORK/home PATH=$WORK/bin:$PATH "$shell"_offers "$@") 2>>"$WORK/err" | sort -u; }
# offered WHAT WORDS...: is it among what is offered?
offered() { offers "${@:2}" | grep -qxF -- "$1"; }

mapfile -t commands < <("$BIN/minga" help | sed -n '/^$/,/^Everywhere/p' |
    sed -n 's/^  \([a-z]\+\( [a-z]\+\)\?\)  .*/\1/p; s/^  \([a-z]\+\( [a-z]\+\)\?\) [^a-z ].*/\1/p')
[ "${#commands[@]}" -gt 30 ] || fail "only ${#commands[@]} commands in the help"
options_of() { "$BIN/minga" help "$@" | grep -o -- '^ .*--[a-z-]\+' | grep -o -- '--[a-z-]\+' | sort -u; }
valued() { "$BIN/minga" help "$@" | sed -n 's/^  \(--[a-z-]\+\) [A-Z]\+ .*/\1/p'; }

judge() {
    local command option missing=() words
    for command in "${commands[@]}"; do
        read -ra words <<<"$command"
        offered "${words[0]}" "${words[0]:0:1}" || missing+=("${words[0]}")
        [ ${#words[@]} = 1 ] || offered "${words[1]}" "${words[0]}" "" || missing+=("$command")
        comm -23 <(options_of "${words[@]}") <(offers "${words[@]}" --) >"$WORK/missing"
        while read -r option; do missing+=("$command $option"); done <"$WORK/missing"
    done
    check "$shell: each command and each of its options (missing: ${missing[*]:-none})" [ ${#missing[@]} = 0 ]
    check "$shell: no option of another command" eval '! offered --replicas stop --'
    check "$shell: options behind a service's name" offered --replicas start wiki --
    check "$shell: and behind other options" offered --replicas start wiki --wait --
    missing=()
    for option in $(valued) $(for command in "${commands[@]}"; do
        # shellcheck disable=SC2086
        valued $command
    done | sort -u); do
        offered --replicas "$option" 3 start --re || missing+=("$option")
    done
    check "$shell: the value of an option is no word (taken for one: ${missing[*]:-none})" [ ${#missing[@]} = 0 ]
    check "$shell: names of services" [ "$(offers start w | tr '\n' ' ')" = "web@k7f3ab21 wiki " ]
    check "$shell: and nothing else, for what stands below a row" eval '! offered 0/1: start ""'
    check "$shell: names of machines" offered oak expel ""
    check "$shell: files" offered bundle.tar push b
}
for shell in bash zsh fish; do
    if ! command -v "$shell" >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$shell" >/dev/null 2>&1 || true
    fi
    if command -v "$shell" >/dev/null; then
        judge
    else
        echo "# not run: $shell cannot be installed"
    fi
done
