# Shared by the scripts beside it: `. scripts/lib.sh`. POSIX sh, run from the project's folder.

# A Python that the caller configured for something else must not leak into ours.
unset PYTHONHOME PYTHONPATH

VENV=${VENV:-.venv}

# uv trusts only certificates of its own unless told to use the system's, as pip and everything else here do.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-1}"

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
