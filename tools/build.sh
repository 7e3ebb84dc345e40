#!/bin/sh
# build.sh FOLDER [CMAKE OPTION...]: configures and builds the project in FOLDER.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
shift
mkdir -p "$folder"
cmake -G Ninja -S "$root" -B "$folder" "$@" >"$folder.configure.log" 2>&1 || {
    cat "$folder.configure.log"
    exit 1
}
rm -f "$folder.configure.log"
ninja -C "$folder" --quiet 2>/dev/null || ninja -C "$folder"
