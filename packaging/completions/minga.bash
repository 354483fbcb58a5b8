# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for minga: the commands and options that `minga help` names.
_minga_commands() {
    minga help 2>/dev/null | sed -n 's/^  \([a-z]\+\( [a-z]\+\)\?\)  .*/\1/p; s/^  \([a-z]\+\( [a-z]\+\)\?\) [^a-z ].*/\1/p' | sort -u
}

_minga_options() { minga help "$@" 2>/dev/null | grep -o -- '--[a-z-]\+' | sort -u; }

_minga_services() {
    timeout 2 minga services 2>/dev/null | awk 'NR > 1 && $1 != "" {print $1}'
}

_minga() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local -a words=()
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] || words+=("${COMP_WORDS[i]}")
    done
    case $previous in
    --socket | --key | --token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_minga_options "${words[@]}")" -- "$current")
        return
    fi
    case "${words[*]}" in
    "") mapfile -t COMPREPLY < <(compgen -W "$(_minga_commands | cut -d' ' -f1)" -- "$current") ;;
    push | try) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    start | stop | scale | rm | status | locate | logs | exec | cp | update | rollback | connect)
        mapfile -t COMPREPLY < <(compgen -W "$(_minga_services)" -- "$current")
        ;;
    help) mapfile -t COMPREPLY < <(compgen -W "$(_minga_commands | cut -d' ' -f1)" -- "$current") ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W "$(_minga_commands |
            sed -n "s/^${words[0]} //p")" -- "$current")
        ;;
    esac
}
complete -o filenames -F _minga minga
