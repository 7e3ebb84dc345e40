#!/bin/sh
# full_size.sh PROGRAM PYTHON: test_resnets.py at full width and, in the ImageNet form, on 224x224 images; prints the
# figures of docs/full-size.md. Not among the tests, since it takes eight minutes and 2 GB of memory. PYTHON has
# the packages of tests/requirements.txt.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: $0 path/to/lorac-onnx path/to/python" >&2
    exit 2
fi
folder=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$(dirname "$folder")")
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
started=$(date +%s)
LORAC_FULL_SIZE=1 LORAC_ONNX=$program LORAC_SOURCE_DIR=$source PYTHONPATH=$source/tests:$source/models \
    "$2" -m pytest -q -p no:cacheprovider "$folder/test_resnets.py"
echo "$(($(date +%s) - started)) seconds in all, $(getconf _NPROCESSORS_ONLN) processors"
