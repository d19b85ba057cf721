# Shared by the scripts beside it: `. scripts/lib.sh`. POSIX sh, run from the project's folder.

# A Python that the caller configured for something else must not leak into ours.
unset PYTHONHOME PYTHONPATH

VENV=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

# Runs a command as root where that needs no question; fails elsewhere.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null && sudo -n "$@"
    fi
}
