#!/bin/sh
# Installs what the end-to-end tests and the demonstration need on Debian 12, where it is missing. Needs root only then.
# System services are not started, and those that run are left alone.
set -eu

SERVERS="kamailio kamailio-sqlite-modules kamailio-presence-modules kamailio-lua-modules prosody ejabberd"
CLIENTS="baresip-core sip-tester python3-slixmpp python3-pytest python3-pytest-xdist python3-pytest-rerunfailures"
BUILD="gcc make pkg-config libc6-dev clang libclang-dev dpkg-dev sqlite3 libxml2-dev"

missing=""
for package in $SERVERS $CLIENTS $BUILD; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "install.sh: not a Debian system; install by other means:$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "install.sh: run as root, or install first:$missing" >&2
    exit 1
fi

# Packages of servers start them; this file tells Debian not to. One that is there already is left as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
echo "install.sh: installing$missing"
apt-get update -qq </dev/null || echo "install.sh: apt-get update failed; trying with the lists at hand" >&2
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing </dev/null
