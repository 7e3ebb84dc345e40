#!/bin/sh
# setup.sh PURPOSE...: installs the packages of tools/packages.txt for the purposes given (build, demo, test, bench).
# Says what it installs; installs nothing, and needs no root, where all of them are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

wanted=""
for purpose in "$@"; do
    wanted="$wanted $(awk -v purpose="$purpose" '$1 == purpose { print $2 }' "$here/packages.txt")"
done
missing=""
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "setup: all packages are there ($(echo $wanted | wc -w))"
    exit 0
fi
echo "setup: installing$missing"
if [ "$(id -u)" -eq 0 ]; then
    run=""
elif command -v sudo >/dev/null 2>&1; then
    run="sudo"
else
    echo "setup: not root and no sudo; run this once as root: apt-get install$missing" >&2
    exit 1
fi
$run apt-get update -q
DEBIAN_FRONTEND=noninteractive $run apt-get install -q -y --no-install-recommends $missing
