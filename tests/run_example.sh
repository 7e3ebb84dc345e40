#!/bin/sh
# Injects a model, trains it with docs/example_train.c as built against the shared library, and looks at what came out:
#     run_example.sh LORAC_ONNX EXAMPLE_TRAIN MODEL FOLDER
set -eu
tool=$1 example=$2 model=$3 folder=$4
[ -f "$model" ] || { echo "skipped: $model is missing"; exit 77; }
mkdir -p "$folder"
"$tool" inject "$model" -o "$folder/injected.onnx" --quiet
"$example" "$folder/injected.onnx" "$folder/trained.onnx" | tee "$folder/output.txt"

# The loss of the first step, and that of images which it has not seen.
first=$(sed -n 's/^step 1: loss \([0-9.]*\),.*/\1/p' "$folder/output.txt")
last=$(sed -n 's/^new images: loss \([0-9.]*\),.*/\1/p' "$folder/output.txt")
awk -v first="$first" -v last="$last" 'BEGIN { exit !(first > 0 && last < first / 2) }' ||
    { echo "the loss did not fall: '$first' to '$last'"; exit 1; }
[ -s "$folder/trained.onnx" ] || { echo "nothing was saved"; exit 1; }
! cmp -s "$folder/injected.onnx" "$folder/trained.onnx" || { echo "nothing was trained"; exit 1; }

# What it says where it cannot: a plain model has nothing to train.
if "$example" "$model" "$folder/none.onnx" 2> "$folder/error.txt"; then
    echo "a plain model was trained"
    exit 1
fi
grep -q inject "$folder/error.txt" || { echo "unhelpful: $(cat "$folder/error.txt")"; exit 1; }
[ ! -e "$folder/none.onnx" ] || { echo "something was saved after an error"; exit 1; }
