#!/bin/sh
# Makes requirements.lock (to run) and requirements-test.lock (to test) from pyproject.toml: newest versions that fit,
# for Linux, macOS and Windows, with hashes and without the address of any package index.

. scripts/lib.sh

uv=$(sh scripts/find-uv.sh) || die "Locking needs uv:  pip install uv"
lock() {
    "$uv" pip compile pyproject.toml -q --universal --python-version 3.12 --generate-hashes --upgrade \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@" || die "Not locked."
}
lock --group build --output-file requirements.lock
# The tests run with exactly what the server runs with.
lock --group build --group dev --constraints requirements.lock --output-file requirements-test.lock
