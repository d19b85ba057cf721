#!/bin/sh
# usage: scripts/system-packages.sh apertium|chromium|coturn
#
# Installs what Python packages cannot bring, from Debian's or Ubuntu's packages, without asking anything. Does
# nothing when it is there already; fails, after saying what to install, where it cannot be had.

. scripts/lib.sh

modes=${APERTIUM_MODES:-/usr/share/apertium/modes}
case ${1:-} in
    apertium)
        packages="apertium apertium-eng-spa apertium-fr-es apertium-es-pt apertium-eng-cat apertium-spa-ita apertium-en-gl"
        elsewhere="see https://wiki.apertium.org/wiki/Installation"
        present() {
            command -v apertium >/dev/null 2>&1 || return 1
            for pair in eng-spa spa-eng fr-es es-fr es-pt pt-es eng-cat cat-eng spa-ita ita-spa; do
                [ -f "$modes/$pair.mode" ] || return 1
            done
        }
        ;;
    chromium)
        packages="chromium fonts-dejavu-core libatomic1" # libatomic: for the node in Playwright's wheel
        elsewhere="install Chromium and set CHROMIUM to its program"
        present() {
            if command -v ldconfig >/dev/null 2>&1; then
                ldconfig -p | grep -q 'libatomic\.so\.1' || return 1
            fi
            [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1
        }
        ;;
    coturn)
        packages=coturn
        elsewhere="install coturn so that turnserver is on PATH"
        present() { command -v turnserver >/dev/null 2>&1; }
        ;;
    *) die "usage: scripts/system-packages.sh apertium|chromium|coturn" ;;
esac

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -qq \
        -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=15 "$@"
}

# Another apt-get may be at work on the lists; it has no time-out of its own for that.
update_lists() {
    for _ in 1 2 3 4; do
        apt update >"$log" 2>&1 && return
        grep -q 'Could not get lock\|Unable to lock' "$log" || return 1
        sleep 10
    done
    return 1
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root true || return 1
    say "Installing $1 from this system's packages."
    log=$(mktemp) || return 1
    # shellcheck disable=SC2086  # a list of packages
    if ! apt install -y --no-install-recommends $packages >"$log" 2>&1 </dev/null; then
        # No lists, or lists of long ago.
        update_lists && apt install -y --no-install-recommends $packages >"$log" 2>&1 </dev/null
    fi
    status=$?
    [ $status = 0 ] || tail -n 5 "$log" >&2
    rm -f "$log"
    return $status
}

PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
present && exit 0
if install_packages "$1" && present; then
    # Debian starts a TURN server as soon as it is installed; the tests start their own.
    if [ "$1" = coturn ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable -q --now coturn 2>/dev/null
    fi
    exit 0
fi
say "$1 is not installed. On Debian and Ubuntu:  sudo apt-get install $packages
Elsewhere: $elsewhere."
exit 1
