#!/bin/sh
# usage: scripts/check.sh STEP...   with the steps format, lint, types and names of folders in tests/
#
# Runs the steps one after another and stops at the first that fails; folders of tests run in one pytest. What a
# machine that others use, too, may hold up (calls, browsers) is tried up to three times; the summary names each retry.

. scripts/lib.sh

bin=$VENV/bin
tests=''
for step in "$@"; do
    begun=$(date +%s)
    case $step in
        format) "$bin/ruff" format --check . ;;
        lint) "$bin/ruff" check . ;;
        types) "$bin/python" -m mypy ;;
        *)
            [ -d "tests/$step" ] || die "There is no folder tests/$step."
            tests="$tests tests/$step"
            continue
            ;;
    esac || die "Failed: $step"
    say "$step: $(($(date +%s) - begun)) s"
done
[ -z "$tests" ] && exit 0
# shellcheck disable=SC2086  # lists of folders and of options
exec "$bin/python" -m pytest $tests ${PYTEST_ARGS:-}
