#!/bin/sh
# man.sh PROGRAM FOLDER: writes all manual pages and the completion of bash, as the program prints them, into FOLDER.
set -eu
program=$1
folder=$2
mkdir -p "$folder"
commands=$("$program" -h | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ]
"$program" man lorac-onnx >"$folder/lorac-onnx.1"
for command in $commands; do
    "$program" man "$command" >"$folder/lorac-onnx-$command.1"
done
"$program" completion bash >"$folder/lorac-onnx.bash"
