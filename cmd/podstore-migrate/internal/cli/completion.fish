# Completion of podstore-migrate for fish. The program reads the line; fish quotes what
# it answers. Nothing here is evaluated.

function __podstore-migrate_ask
    set -l line (commandline -cp | string collect)
    set -l token (commandline -ct | string collect)
    command podstore-migrate __complete fish "$line" "$token" 2>/dev/null | string split0
end

function __podstore-migrate_kind
    set -l answer (__podstore-migrate_ask)
    test "$answer[1]" = "$argv[1]"
end

function __podstore-migrate_words
    set -l answer (__podstore-migrate_ask)
    set -q answer[2]; and printf '%s\0' $answer[2..]
end

complete -c podstore-migrate -f
complete -c podstore-migrate -n '__podstore-migrate_kind files' -F
complete -c podstore-migrate -n '__podstore-migrate_kind directories' -a '(__fish_complete_directories)'
complete -c podstore-migrate -k -a '(__podstore-migrate_words | string split0)'
