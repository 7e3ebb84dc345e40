#!/bin/sh
# valgrind.sh BUILD: the program's whole path and the C tests of BUILD (made with -O1, or as it is) under valgrind. Any error
# or lost block fails. Slow: about two minutes; the kernels use only what valgrind knows (no AVX-512).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
check() {
    echo "valgrind: $(basename "$1") ${2:-}"
    valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect --suppressions="$root/tests/valgrind.supp" "$@" >"$folder/out" 2>&1 ||
        { code=$?; [ $code -eq "${allowed:-0}" ] || { cat "$folder/out"; exit 1; }; }
}

lorac=$build/tools/lorac-onnx
data=/usr/share/datasets/fashion-mnist
x=$data/t10k-images-idx3-ubyte.gz
y=$data/t10k-labels-idx1-ubyte.gz
cd "$folder"
check "$lorac" inspect "$root/models/resnet14-fashion.onnx"
check "$lorac" inject "$root/models/resnet14-fashion.onnx" -o injected.onnx --mean 0.286 --std 0.353 --bn train --train-first
check "$lorac" train injected.onnx -o trained.onnx --data $x --labels $y --range 0:16 --batch 8 --epochs 1 \
    --augment crop-flip --corrupt fog:3 --log log.jsonl
check "$lorac" eval trained.onnx --data $x --labels $y --range 0:10 --batch 8 --outputs out.npy --per-class
check "$lorac" merge trained.onnx -o plain.onnx --random 4
check "$lorac" compare trained.onnx plain.onnx --data $x --range 0:4
# test_proto_tensor checks that an int64 becomes a float with one rounding; valgrind converts through double, so that one
# check counts a failure there. Errors of memory still fail (exit code 99).
for test in "$build"/tests/test_proto_* "$build"/tests/test_passes_* "$build"/tests/test_runtime_array \
    "$build"/tests/test_runtime_dataset "$build"/tests/test_runtime_batch "$build"/tests/test_runtime_constant \
    "$build"/tests/test_runtime_plan "$build"/tests/test_runtime_optimizer "$build"/tests/test_runtime_loss \
    "$build"/tests/test_tools_*; do
    case $test in *_tensor) allowed=1 ;; *) allowed=0 ;; esac
    check "$test"
done
echo "valgrind: clean"
