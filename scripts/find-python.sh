#!/bin/sh
# Prints the path of a Python that can run the project, or fails.
#
# Names on PATH prove nothing (a version manager's shim may be there and say "command not found"), so every candidate
# is executed. 3.12 is taken wherever it is found; else 3.13 or 3.14, which have wheels of everything, too; a Python
# without venv or ensurepip (Debian packs them apart) only when there is no other, and a newer one last.

probe='import sys
if sys.version_info < (3, 12) or sys.implementation.name != "cpython":
    sys.exit(1)
import ssl, ctypes, zlib
try:
    import venv, ensurepip
    kind = "whole"
except ImportError:
    kind = "bare"
print(sys.version_info[1], kind, sys.executable)'

# Every place where a Python may be, one a line; the most likely ones first.
candidates() {
    for name in python3.12 python3.13 python3.14 python3 python; do
        old=$IFS
        IFS=:
        for folder in $PATH; do
            IFS=$old
            [ -n "$folder" ] && printf '%s\n' "$folder/$name"
        done
        IFS=$old
    done
    # Version managers, found by their variables, by their place on PATH and in the home folder. HOME may be another
    # folder than the account's, in containers and in tests.
    account=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)
    on_path=$(printf '%s\n' "$PATH" | tr : '\n')
    printf '%s\n' "$on_path" | sed -n 's|/shims/*$||p' | while read -r root; do # pyenv
        printf '%s\n' "$root"/versions/*/bin/python
    done
    printf '%s\n' "$on_path" | sed -n 's|/condabin/*$||p' | while read -r root; do
        printf '%s\n' "$root/bin/python" "$root"/envs/*/bin/python
    done
    for root in "${PYENV_ROOT:-}" "$HOME/.pyenv" "${account:+$account/.pyenv}"; do
        [ -n "$root" ] && printf '%s\n' "$root"/versions/*/bin/python
    done
    for root in "${CONDA_PREFIX:-}" "${CONDA_EXE:+${CONDA_EXE%/*/*}}" "$HOME/miniconda3" "$HOME/anaconda3" \
        "$HOME/miniforge3" "$HOME/mambaforge" "${account:+$account/miniconda3}" "${account:+$account/miniforge3}" \
        /opt/conda /opt/miniconda3; do
        [ -n "$root" ] && printf '%s\n' "$root/bin/python" "$root"/envs/*/bin/python
    done
    for root in "${UV_PYTHON_INSTALL_DIR:-}" "${XDG_DATA_HOME:-$HOME/.local/share}/uv/python" \
        "${account:+$account/.local/share/uv/python}"; do
        [ -n "$root" ] && printf '%s\n' "$root"/*/bin/python3
    done
    for root in /opt/homebrew /usr/local /usr /opt/python/*; do
        printf '%s\n' "$root/bin/python3.12" "$root/bin/python3.13" "$root/bin/python3.14" "$root/bin/python3"
    done
    uv=$(command -v uv) && "$uv" python find --no-python-downloads '>=3.12,<3.15' 2>/dev/null
}

HOME=${HOME:-/}
best='' best_rank=9
all=$(candidates | awk '!seen[$0]++')
old=$IFS
IFS='
'
for candidate in $all; do
    IFS=$old
    [ -f "$candidate" ] && [ -x "$candidate" ] || continue
    answer=$("$candidate" -c "$probe" </dev/null 2>/dev/null) || continue
    read -r minor kind path <<ANSWER
$answer
ANSWER
    case $minor in
        12) rank=1 ;;
        13 | 14) rank=2 ;;
        *[!0-9]* | '') continue ;;
        *) rank=5 ;;
    esac
    [ "$kind" = whole ] || rank=$((rank + 2))
    if [ "$rank" -lt "$best_rank" ]; then
        best=$path best_rank=$rank
        [ "$rank" = 1 ] && break
    fi
done
[ -n "$best" ] && printf '%s\n' "$best"
