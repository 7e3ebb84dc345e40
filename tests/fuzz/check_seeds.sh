#!/bin/sh
# check_seeds.sh MAKE_CORPUS SOURCE FOLDER: the seeds and the dictionary that are committed are those that make_corpus
# makes. (Other files in the corpus were found by fuzzing and stay.)
set -eu
rm -rf "$3"
mkdir -p "$3"
"$1" "$3" "$3/model.dict"
cmp "$3/model.dict" "$2/model.dict"
count=0
for seed in "$3"/*.onnx; do
    cmp "$seed" "$2/corpus/$(basename "$seed")"
    count=$((count + 1))
done
echo "$count seeds are as committed"
[ "$count" -gt 0 ]
