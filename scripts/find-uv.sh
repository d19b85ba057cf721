#!/bin/sh
# Prints the path of uv, the Python installer; installs it into .cache/uv-tool with any Python 3 that has pip when it
# is nowhere. Fails when it cannot be had.

. scripts/lib.sh

for uv in "$(command -v uv)" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv" "$VENV/bin/uv" .cache/uv-tool/bin/uv; do
    if [ -n "$uv" ] && "$uv" --version >/dev/null 2>&1; then
        printf '%s\n' "$uv"
        exit 0
    fi
done
for python in python3 python /usr/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || continue
    if "$python" -m pip install -q --disable-pip-version-check --no-input --target .cache/uv-tool \
        --upgrade --only-binary :all: uv >&2 && .cache/uv-tool/bin/uv --version >/dev/null 2>&1; then
        printf '%s\n' .cache/uv-tool/bin/uv
        exit 0
    fi
done
exit 1
