#!/bin/sh
# run.sh [--quick] [--write] [OPTION...]: lorac-onnx beside its peers, on this machine, in one run.
#
# Makes an environment for each peer (build/bench-*, from PyPI: 7 GB the first time), builds lorac-onnx, and runs
# bench.py, which says what is measured and how. --quick runs every peer for a moment on tiny networks, to see that all
# of them still work: its times mean nothing. --write puts the tables into docs/benchmarks.md. Other options: bench.py -h.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

tools/setup.sh build bench
mkdir -p build
for peer in torch onnxruntime training mnn; do
    list=tests/bench/requirements/$peer.txt
    venv=build/bench-$peer
    cmp -s "$list" "$venv/installed.txt" && continue
    echo "setup: installing $list into $venv"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$list"
    cp "$list" "$venv/installed.txt"
done
echo "building in build/bench-lorac ..."
tools/build.sh build/bench-lorac -DCMAKE_C_COMPILER=gcc -DLORAC_TESTS=OFF
exec build/bench-onnxruntime/bin/python tests/bench/bench.py "$@"
