#!/bin/sh
# usage: scripts/bootstrap.sh run|test
#
# Makes the virtual environment with the locked versions and the project itself in it. A stamp says that all of it was
# done for these files in this folder, so that the next start costs milliseconds and needs no network.

. scripts/lib.sh

case ${1:-} in
    run) files="requirements.lock pyproject.toml" ;;
    test) files="requirements.lock requirements-test.lock pyproject.toml" ;;
    *) die "usage: scripts/bootstrap.sh run|test" ;;
esac
stamp=$VENV/.stamp-$1
# shellcheck disable=SC2086  # a list of files
want="$PWD $(cksum $files)"
if [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    exit 0
fi

find_python() {
    python=$(sh scripts/find-python.sh) && return
    say "No Python 3.12 or newer was found: getting one with uv."
    uv=$(sh scripts/find-uv.sh) && "$uv" python install 3.12 >&2 &&
        python=$("$uv" python find --no-project 3.12) && [ -n "$python" ] && return
    die "This project needs Python 3.12 or newer, and none was found or could be downloaded.
Install one and try again, whichever is easiest:
  Debian 13, Ubuntu 24.04 or newer:  sudo apt-get install python3 python3-venv
  macOS with Homebrew:               brew install python@3.12
  with Conda:                        conda create -n interpreter python=3.12 && conda activate interpreter
  with pyenv:                        pyenv install 3.12
  with uv:                           uv python install 3.12"
}

make_venv() {
    if [ -e "$VENV" ] && [ ! -f "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV")" ]; then
        die "$VENV is there but is no virtual environment. Move it away or set VENV to another folder."
    fi
    find_python
    say "Python: $python"
    rm -rf "$VENV"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$VENV" >&2 && return
    fi
    "$python" -m virtualenv -q "$VENV" 2>/dev/null && return
    uv=$(sh scripts/find-uv.sh 2>/dev/null) && "$uv" venv -q --seed --python "$python" "$VENV" >&2 && return
    die "$python cannot make virtual environments: its module ensurepip is missing.
On Debian and Ubuntu:  sudo apt-get install python3-venv"
}

pip() {
    "$VENV/bin/python" -m pip "$@" -q --disable-pip-version-check --no-input >&2
}

# A venv that does not run (its Python was removed, its making was interrupted) is made anew.
if ! "$VENV/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    make_venv
fi

say "Installing the locked packages into $VENV. The first time this takes about a minute."
# The lock is complete: --no-deps keeps what is not in it out. Wheels only, so nothing is built with unlocked tools.
pip install --no-deps --require-hashes --only-binary :all: -r requirements.lock ||
    die "The packages could not be installed; what pip said stands above."
if [ "$1" = test ]; then
    # forbiddenfruit has no wheel; it is built with the setuptools of the lock.
    pip install --no-deps --require-hashes --only-binary :all: --no-binary forbiddenfruit --no-build-isolation \
        -r requirements-test.lock || die "The packages for the tests could not be installed; see above."
fi
pip install --no-deps --no-index --no-build-isolation --editable . ||
    die "The project itself could not be installed; see above."
printf '%s\n' "$want" >"$stamp"
