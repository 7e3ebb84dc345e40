#!/bin/sh
# run_python.sh PYTHON FILE: runs one pytest file; 77 (skipped) where there is no Python with the packages.
python=$1
file=$2
if [ -z "$python" ] || ! "$python" -c 'import numpy, onnx, onnxruntime, pytest, xxhash' 2>/dev/null; then
    echo "skipped: no Python with tests/requirements.txt (set LORAC_TEST_PYTHON, or run tests/run.sh)"
    exit 77
fi
"$python" -m pytest -q -rs -p no:cacheprovider "$file"
code=$?
# pytest's 5: nothing collected, which here is a mistake and not a skip.
exit $code
