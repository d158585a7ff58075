# Completion of podstore-migrate for bash 3.2 and newer. It needs no other package.
# The program reads the line and quotes its answers; nothing here is evaluated.

__start_podstore-migrate() {
    local program=$1 line kind
    COMPREPLY=()
    case $program in '~/'*) program=$HOME/${program#'~/'} ;; esac
    {
        IFS= read -r kind
        while IFS= read -r line; do COMPREPLY[${#COMPREPLY[@]}]=$line; done
    } < <("$program" __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    if type compopt >/dev/null 2>&1; then
        case $kind in
            files) ;;
            directories) compopt +o default -o dirnames ;;
            nospace) compopt +o default -o nospace ;;
            *) compopt +o default ;;
        esac
    fi
}

complete -o default -F __start_podstore-migrate podstore-migrate
