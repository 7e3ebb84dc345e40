#!/bin/sh
# check_size.sh FILE STRIP LIMIT: fails where FILE, once stripped, has more than LIMIT bytes.
set -eu
stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
"$2" -o "$stripped" "$1"
bytes=$(wc -c < "$stripped")
echo "$1, stripped: $bytes bytes, at most $3"
[ "$bytes" -le "$3" ]
