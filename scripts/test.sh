#!/bin/sh
# Installs what the tests need, then runs every check and every test. What cannot be had is a failure, never a skip.

. scripts/lib.sh

sh scripts/bootstrap.sh test || exit
for package in apertium chromium coturn; do
    sh scripts/system-packages.sh "$package" || die "The tests need $package."
done
"$VENV/bin/python" -m media_server.models fetch whisper-base whisper-tiny.en piper-en_US-joe-medium smart-turn-v3.2 ||
    die "The tests need these models."
exec sh scripts/check.sh format lint types unit contract integration browser chaos
