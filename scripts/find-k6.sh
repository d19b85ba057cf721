#!/bin/sh
# Prints the path of k6; builds it into .cache/k6 with Go where it is nowhere (about two minutes, once). Fails with
# words when it cannot be had. K6 names another one.

. scripts/lib.sh

VERSION=v1.4.2

export K6_AUTO_EXTENSION_RESOLUTION=false # it asks a service on the internet for another k6
for k6 in "${K6:-}" "$(command -v k6)" .cache/k6/k6; do
    if [ -n "$k6" ] && "$k6" version >/dev/null 2>&1; then
        printf '%s\n' "$k6"
        exit 0
    fi
done
for go in "$(command -v go)" /usr/local/go/bin/go; do
    if [ -n "$go" ] && "$go" version >/dev/null 2>&1; then
        say "Building k6 $VERSION with $("$go" version | cut -d ' ' -f 3): about two minutes, once."
        GOBIN="$PWD/.cache/k6" "$go" install "go.k6.io/k6@$VERSION" >&2 && .cache/k6/k6 version >/dev/null 2>&1 ||
            die "k6 $VERSION could not be built (above is why). Install k6 (https://k6.io) or name it: K6=/path/to/k6"
        printf '%s\n' .cache/k6/k6
        exit 0
    fi
done
die "k6 is not here, and Go to build it with neither. Install one of them, or name a k6: K6=/path/to/k6"
