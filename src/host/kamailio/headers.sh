#!/bin/sh
# Unpacks the source of the installed Kamailio package into DIR, for its headers: Debian has no kamailio-dev.
#
#   headers.sh DIR        DIR/tree is then what KAMAILIO_SRC may name
#
# apt works in a private directory under DIR with the machine's own sources, each `deb` turned into `deb-src`;
# nothing of the machine's apt changes, and root is not needed.
set -eu

fail() {
    echo "headers.sh: $*" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: headers.sh DIR"
version=$(dpkg-query -W -f '${Version}' kamailio 2>/dev/null) ||
    fail "KAMAILIO_SRC is not set and dpkg knows no installed package kamailio: install it, or set KAMAILIO_SRC to Kamailio's source tree"
mkdir -p "$1"
dir=$(cd "$1" && pwd)

[ "$(cat "$dir/version" 2>/dev/null || true)" != "$version" ] || exit 0
command -v apt-get >/dev/null || fail "apt-get is needed to fetch the source of kamailio $version, or set KAMAILIO_SRC to its tree"

rm -rf "$dir/apt" "$dir/tree" "$dir/version"
mkdir -p "$dir/apt/sources.list.d" "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/apt/tar"
cp -r /etc/apt/sources.list.d/. "$dir/apt/sources.list.d/" 2>/dev/null || true
[ ! -f /etc/apt/sources.list ] || cp /etc/apt/sources.list "$dir/apt/sources.list.d/main.list"
for list in "$dir"/apt/sources.list.d/*; do
    case $list in
        *.list) sed -i -E -e '/^[[:space:]]*deb-src/d' -e 's/^([[:space:]]*)deb([[:space:]])/\1deb-src\2/' "$list" ;;
        *.sources) sed -i -E 's/^Types:.*/Types: deb-src/' "$list" ;;
        *) rm -f "$list" ;;
    esac
done

private_apt() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dir/apt/sources.list.d" \
        -o Dir::State::Lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" -o APT::Sandbox::User=root \
        -o APT::Get::List-Cleanup=0 "$@" </dev/null
}
# A third party's repository without sources makes `update` complain: what counts is whether `source` finds the version.
private_apt update >"$dir/apt/log" 2>&1 || true
(cd "$dir/apt/tar" && private_apt source --tar-only "kamailio=$version" >>"$dir/apt/log" 2>&1) || {
    cause=$(sed -n 's/^E: //p' "$dir/apt/log" | tail -n 1)
    fail "apt offers no source package kamailio=$version in the machine's own sources ($cause): set KAMAILIO_SRC to that version's tree"
}

mkdir "$dir/tree"
for tar in "$dir"/apt/tar/*.orig.tar.* "$dir"/apt/tar/kamailio_*[0-9].tar.*; do
    [ -f "$tar" ] || continue
    case $tar in *.debian.tar.*) continue ;; esac
    tar -xf "$tar" -C "$dir/tree" --strip-components=1
    break
done
[ -f "$dir/tree/src/core/sr_module.h" ] || fail "the source of kamailio=$version has no src/core/sr_module.h"
rm -rf "$dir/apt"
echo "$version" >"$dir/version"
