#!/bin/sh
# The main job on the embedded default: a pretrained model meets a new camera.
#
# models/resnet14-fashion.onnx was trained on clean pictures. Here the pictures come through fog and noise: the model is
# adapted on the device's own images (0 to 4999 of the test set), and scored on others (5000 to 9999), as
# models/new_camera.yaml says.
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

rm -f ./*.onnx ./*.safetensors
cp "$root/models/resnet14-fashion.onnx" "$root/models/new_camera.yaml" .
summary=""

run lorac-onnx inspect resnet14-fashion.onnx

for corruption in fog:5 gaussian_noise:5; do
    name=${corruption%:*}
    echo
    echo "== the new camera: $corruption"
    if [ $name = fog ]; then # as the recipe has it
        run lorac-onnx run new_camera.yaml
    else
        run lorac-onnx run new_camera.yaml --set data.corrupt=$corruption --set eval.corrupt=$corruption \
            --set output.merged=$name.onnx --set output.adapter=$name.safetensors
    fi

    score="--data $x --labels $y --range 5000:10000"
    summary="$summary
$(printf '%-17s %8s %8s %8s %14s %14s' "$corruption" \
        "$(accuracy $name.injected.onnx $score --corrupt $corruption)" \
        "$(accuracy $name.trained.onnx $score --corrupt $corruption)" \
        "$(accuracy $name.onnx $score --corrupt $corruption)" \
        "$(accuracy $name.injected.onnx $score)" "$(accuracy $name.onnx $score)")"
done

echo
echo "accuracy in percent on images 5000 to 9999"
printf '%-17s %8s %8s %8s %14s %14s' camera before trained merged "clean before" "clean after"
echo "$summary"
echo
echo "models are in build/demo: fog.onnx and gaussian_noise.onnx run in any ONNX engine"
