#!/bin/sh
# The main job on the embedded default: a pretrained model meets a new camera.
#
# models/resnet14-fashion.onnx was trained on clean pictures. Here the pictures come through fog and noise: the model is
# adapted on the device's own images (0 to 4999 of the test set), and scored on others (5000 to 9999). Every step is the
# command a user would type.
#
# Sets everything up on a fresh Debian machine; run again, it does the job again. Results go to build/demo.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

tools/setup.sh build demo
mkdir -p build
echo "building in build/demo ..."
tools/build.sh build/demo -DLORAC_TESTS=OFF

data=/usr/share/datasets/fashion-mnist
x=$data/t10k-images-idx3-ubyte.gz
y=$data/t10k-labels-idx1-ubyte.gz
PATH=$root/build/demo/tools:$PATH
cd build/demo

# Shows a command as a user would type it, and runs it.
run() {
    echo
    echo "\$ $*"
    "$@"
}

# The accuracy in percent that eval --json reports, for the summary.
accuracy() {
    lorac-onnx eval "$@" --json --quiet | sed -n 's/.*"accuracy": *\([0-9.]*\).*/\1/p' | awk '{ printf "%.2f", 100 * $1 }'
}

rm -f injected.onnx trained-*.onnx plain-*.onnx
model=$root/models/resnet14-fashion.onnx
pixels="--mean 0.2860 --std 0.3530"
summary=""

run lorac-onnx inspect "$model"
run lorac-onnx inject "$model" -o injected.onnx --rank 4 --alpha 8 $pixels
run lorac-onnx eval injected.onnx --data $x --labels $y --range 5000:10000

for corruption in fog:5 gaussian_noise:5; do
    name=${corruption%:*}
    echo
    echo "== the new camera: $corruption"
    run lorac-onnx eval injected.onnx --data $x --labels $y --range 5000:10000 --corrupt $corruption
    run lorac-onnx train injected.onnx -o trained-$name.onnx --data $x --labels $y --range 0:5000 \
        --corrupt $corruption --epochs 2 --lr 0.02
    run lorac-onnx eval trained-$name.onnx --data $x --labels $y --range 5000:10000 --corrupt $corruption
    run lorac-onnx merge trained-$name.onnx -o plain-$name.onnx
    run lorac-onnx compare trained-$name.onnx plain-$name.onnx --data $x --range 5000:5500
    run lorac-onnx eval plain-$name.onnx --data $x --labels $y --range 5000:10000 --corrupt $corruption

    score="--data $x --labels $y --range 5000:10000"
    summary="$summary
$(printf '%-17s %8s %8s %8s %14s %14s' "$corruption" \
        "$(accuracy injected.onnx $score --corrupt $corruption)" \
        "$(accuracy trained-$name.onnx $score --corrupt $corruption)" \
        "$(accuracy plain-$name.onnx $score --corrupt $corruption)" \
        "$(accuracy injected.onnx $score)" "$(accuracy plain-$name.onnx $score)")"
done

echo
echo "accuracy in percent on images 5000 to 9999"
printf '%-17s %8s %8s %8s %14s %14s' camera before trained merged "clean before" "clean after"
echo "$summary"
echo
echo "models are in build/demo: plain-fog.onnx and plain-gaussian_noise.onnx run in any ONNX engine"
