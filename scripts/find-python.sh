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

# Each prints the Pythons under the folder of a version manager, if it is given one.
pyenv() { [ -z "$1" ] || printf '%s\n' "$1"/versions/*/bin/python; }
conda() { [ -z "$1" ] || printf '%s\n' "$1/bin/python" "$1"/envs/*/bin/python; }
uv_pythons() { [ -z "$1" ] || printf '%s\n' "$1"/*/bin/python3; }

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
    # Version managers: where their variables point, by their place on PATH, then in the home folder.
    pyenv "${PYENV_ROOT:-}"
    conda "${CONDA_PREFIX:-}"
    conda "${CONDA_EXE:+${CONDA_EXE%/*/*}}"
    uv_pythons "${UV_PYTHON_INSTALL_DIR:-}"
    printf '%s\n' "$PATH" | tr : '\n' | while read -r folder; do
        case $folder in
            */shims | */shims/) pyenv "${folder%/shims*}" ;;
            */condabin | */condabin/) conda "${folder%/condabin*}" ;;
        esac
    done
    # HOME may be another folder than the account's, in containers for instance.
    account=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)
    uv_pythons "${XDG_DATA_HOME:+$XDG_DATA_HOME/uv/python}"
    for home in "$HOME" "$account"; do
        [ -n "$home" ] || continue
        pyenv "$home/.pyenv"
        for name in miniconda3 anaconda3 miniforge3 mambaforge; do
            conda "$home/$name"
        done
        uv_pythons "$home/.local/share/uv/python"
    done
    conda /opt/conda
    conda /opt/miniconda3
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
