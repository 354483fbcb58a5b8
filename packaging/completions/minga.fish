# SPDX-License-Identifier: GPL-3.0-or-later
# fish completion for minga: the commands that `minga help` names.
function __minga_commands
    minga help 2>/dev/null | string match -r --groups-only '^  ([a-z]+) .*  +(.*)$' | paste - -
end
function __minga_services
    timeout 2 minga services 2>/dev/null | awk 'NR > 1 {print $1}'
end
complete -c minga -f
complete -c minga -n __fish_use_subcommand -a '(__minga_commands)'
complete -c minga -n '__fish_seen_subcommand_from push try' -F
complete -c minga -n '__fish_seen_subcommand_from start stop scale rm status locate logs exec cp' \
    -a '(__minga_services)'
complete -c minga -n '__fish_seen_subcommand_from node' -a 'pause resume drain'
complete -c minga -n '__fish_seen_subcommand_from community' -a create
complete -c minga -n '__fish_seen_subcommand_from invite' -a revoke
complete -c minga -l json -d 'one JSON document instead of tables'
complete -c minga -l socket -r -d "the agent's socket"
complete -c minga -l key -r -d 'another key than the usual one'
