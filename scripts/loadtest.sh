#!/bin/sh
# Runs the k6 scripts of loadtest/ against the server at SERVER (http://localhost:5000), and starts one there for as long
# as they run where nobody listens. What the scripts read (USERS, SECONDS, RTT_MS, SPEAKERS, TARGET, TOKEN) goes on to
# them. The exit status is 0 when every threshold was kept.

. scripts/lib.sh

SERVER=${SERVER:-http://localhost:5000}
READY_S=180

case $SERVER in
    http://* | https://*) ;;
    *) die "SERVER=$SERVER should be an address like http://localhost:5000" ;;
esac
k6=$(sh scripts/find-k6.sh) || exit
export K6_AUTO_EXTENSION_RESOLUTION=false K6_NO_USAGE_REPORT=true

# Prints what is at the address: ready, busy (it would take no call now), nothing.
look() {
    "$VENV/bin/python" - "$SERVER/health?ready=1" <<'PYTHON'
import ssl, sys, urllib.error, urllib.request
unchecked = ssl._create_unverified_context()  # TLS=1 makes a certificate of its own
try:
    urllib.request.urlopen(sys.argv[1], timeout=5, context=unchecked)
    print("ready")
except urllib.error.HTTPError:
    print("busy")
except OSError:
    print("nothing")
PYTHON
}

sh scripts/bootstrap.sh run || exit
server=''
log=.cache/loadtest-server.log
trap '[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null' EXIT
trap 'exit 130' INT TERM

if [ "$(look)" = nothing ]; then
    address=${SERVER#*://}
    host=${address%%[:/]*}
    port=${address##*:}
    [ "$port" = "$address" ] && port=80
    case $host in
        localhost | 127.0.0.1) ;;
        *) die "Nobody answers at $SERVER." ;;
    esac
    say "Nobody listens at $SERVER: starting a server there (its log: $log)."
    mkdir -p .cache
    HOST=127.0.0.1 PORT=${port%%/*} DRAIN_SECS=0 "$VENV/bin/python" -m media_server >"$log" 2>&1 &
    server=$!
fi
begun=$(date +%s)
until [ "$(look)" = ready ]; do
    [ -z "$server" ] || kill -0 "$server" 2>/dev/null || die "The server ended: $(tail -n 5 "$log")"
    [ $(($(date +%s) - begun)) -lt $READY_S ] || die "The server at $SERVER is not ready for calls."
    sleep 1
done

websockets=ws${SERVER#http}
failed=''
for test in audio:/ws-audio interpreter:/ws/audio; do
    script=loadtest/${test%%:*}_ws_test.js
    say "" "k6 run $script"
    WS_URL=${websockets%/}${test#*:} "$k6" run --insecure-skip-tls-verify --quiet "$script" || failed="$failed $script"
done
[ -z "$failed" ] || die "Not kept:$failed"
