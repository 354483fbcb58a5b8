# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for minga: the commands and options that `minga help` names.
_minga_commands() {
    minga help 2>/dev/null | sed -n 's/^  \([a-z]\+\( [a-z]\+\)\?\)  .*/\1/p; s/^  \([a-z]\+\( [a-z]\+\)\?\) [^a-z ].*/\1/p' | sort -u
}

# Of a command: it is the first word, or the first two.
_minga_options() { minga help "${@:1:2}" 2>/dev/null | grep -o -- '--[a-z-]\+' | sort -u; }

# What goes on below its row is indented.
_minga_services() { COLUMNS='' timeout 2 minga services 2>/dev/null | awk 'NR > 1 && /^[^ ]/ {print $1}'; }
_minga_nodes() { COLUMNS='' timeout 2 minga nodes 2>/dev/null | awk 'NR > 1 && /^[^ ]/ {print $1}'; }

# Does the word behind this option belong to it?
_minga_takes_value() {
    case $1 in
    --socket | --key | --token-file | --expires | --uses | --replicas | --port | --reason | --owner | --owner-name) ;;
    --parallel | --delay | --timeout | --within | --listen) ;;
    *) return 1 ;;
    esac
}

_minga_offer() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }

_minga() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local -a words=()
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        if _minga_takes_value "${COMP_WORDS[i]}"; then
            i=$((i + 1))
        elif [[ ${COMP_WORDS[i]} != -* ]]; then
            words+=("${COMP_WORDS[i]}")
        fi
    done
    if _minga_takes_value "$previous"; then
        case $previous in
        --socket | --key | --token-file) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        esac
        return
    fi
    if [[ $current == -* ]]; then
        _minga_offer "$(_minga_options "${words[@]}")" "$current"
        return
    fi
    case "${words[*]}" in
    "" | help) _minga_offer "$(_minga_commands | cut -d' ' -f1)" "$current" ;;
    push | try) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    plan | start | stop | scale | rm | status | locate | connect | logs | exec | events | lookup)
        _minga_offer "$(_minga_services)" "$current"
        ;;
    expel) _minga_offer "$(_minga_nodes)" "$current" ;;
    cp | "cp "*) mapfile -t COMPREPLY < <(compgen -f -W "$(_minga_services)" -- "$current") ;;
    *) _minga_offer "$(_minga_commands | awk -v first="${words[0]} " 'index($0, first) == 1 { print substr($0, length(first) + 1) }')" "$current" ;;
    esac
}
complete -o filenames -F _minga minga
