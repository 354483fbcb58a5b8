# SPDX-License-Identifier: GPL-3.0-or-later
# fish completion for minga: the commands and options that `minga help` names.

# The words typed so far: without options, and without the values of those that take one.
function __minga_words
    set -l valued --socket --key --token-file --expires --uses --replicas --port --reason --owner --owner-name \
        --parallel --delay --timeout --within
    set -l previous
    for word in (commandline -opc)[2..-1]
        if not string match -q -- '-*' $word; and not contains -- "$previous" $valued
            echo $word
        end
        set previous $word
    end
end
# Of the command that was typed, or of none; the help of each behind a tab.
function __minga_options
    set -l words (__minga_words)
    minga help $words[1..2] 2>/dev/null |
        string replace -rf '^  (?:-[a-z], )?(--[a-z-]+)(?:[ =\[]\S+)? +(.*)$' '$1\t$2'
end
function __minga_commands
    minga help 2>/dev/null | string replace -rf '^  ([a-z]+)(?: .*?)?(?:  +|\.\.\. )(.*)$' '$1\t$2'
end
# The second words of a command that has two.
function __minga_second
    set -l words (__minga_words)
    test (count $words) = 1
    and minga help 2>/dev/null | string replace -rf "^  $words[1] ([a-z]+)(?: .*?)?  +(.*)\$" '$1\t$2'
end
# What goes on below its row is indented.
function __minga_column
    COLUMNS= timeout 2 minga $argv 2>/dev/null | awk 'NR > 1 && /^[^ ]/ {print $1}'
end
function __minga_after
    set -l words (__minga_words)
    test (count $words) = 1; and contains -- $words[1] $argv
end
complete -c minga -f
complete -c minga -n 'test (count (__minga_words)) = 0' -a '(__minga_commands)'
complete -c minga -n '__minga_after help' -a '(__minga_commands)'
complete -c minga -n 'test (count (__minga_words)) = 1' -a '(__minga_second)'
complete -c minga -n 'string match -q -- "-*" (commandline -ct)' -a '(__minga_options)'
complete -c minga -n '__minga_after push try' -F
complete -c minga -n 'set -l words (__minga_words); test "$words[1]" = cp' -F
complete -c minga -n 'set -l words (__minga_words); test "$words[1]" = cp' -a '(__minga_column services):'
complete -c minga -n '__minga_after plan start stop scale rm status locate connect logs exec events lookup' \
    -a '(__minga_column services)'
complete -c minga -n '__minga_after expel' -a '(__minga_column nodes)'
complete -c minga -l socket -r -F -d "the agent's socket (MINGA_SOCKET)"
complete -c minga -l key -r -F -d 'another key than the usual one'
complete -c minga -n 'set -l words (__minga_words); contains -- "$words[1]" join invite' -l token-file -r -F \
    -d 'read the token from a file'
