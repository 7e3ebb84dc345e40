#!/bin/sh
# kill_many.sh PROGRAM PYTHON [KILLS [SEED]]: kills training runs at random instants, at least KILLS times (200), and
# compares what the resumed ones write with undisturbed runs. Prints how many there were of each kind.
set -eu
[ $# -ge 2 ] || { echo "usage: kill_many.sh PROGRAM PYTHON [KILLS [SEED]]" >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
program=$(realpath "$1")
exec env LORAC_ONNX="$program" LORAC_KILLS="${3:-200}" LORAC_KILL_SEED="${4:-0}" \
    PYTHONPATH="$here:$here/../models" "$2" -m pytest -q -s "$here/chain/test_resume.py" -k killed_at_random
