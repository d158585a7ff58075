#compdef podstore-migrate
# Completion of podstore-migrate for zsh. The program reads the line and quotes its
# answers; nothing here is evaluated.

_podstore-migrate() {
    emulate -L zsh
    local line kind
    local -a answer
    line="${(j: :)words[1,CURRENT-1]} $IPREFIX$QIPREFIX$PREFIX"
    answer=("${(@f)$(command "${(Q)words[1]/#\~\//$HOME/}" __complete zsh "$line" "$PREFIX" 2>/dev/null)}")
    kind=$answer[1]
    shift answer
    case $kind in
        (files) compset -P '(dir|unix):'; _files ;;
        (directories) compset -P 'dir:'; _files -/ ;;
        (nospace) compadd -Q -U -S '' -a -- answer ;;
        (*) compadd -Q -U -a -- answer ;;
    esac
}

if [ "$funcstack[1]" = "_podstore-migrate" ]; then
    _podstore-migrate
else
    compdef _podstore-migrate podstore-migrate
fi
