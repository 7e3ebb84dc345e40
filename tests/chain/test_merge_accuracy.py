# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The merged model has in onnxruntime the accuracy that it has here, on real images.

Trained on images under fog, as in the demo; scored on clean ones, whose pixels another program can read from the file.
"""

import gzip
import json

import numpy as np
import onnxruntime
import pytest
from support import FASHION_DATA, FASHION_MODEL, good, onnxruntime_outputs, our_outputs, relative_error

MEAN, STD = "0.2860", "0.3530"
FIRST, LAST = 5000, 6000
OUTPUTS_RELATIVE = 1e-4
IMAGES, LABELS = FASHION_DATA / "t10k-images-idx3-ubyte.gz", FASHION_DATA / "t10k-labels-idx1-ubyte.gz"

pytestmark = pytest.mark.skipif(not (IMAGES.exists() and FASHION_MODEL.exists()),
                                reason=f"no {FASHION_DATA} (Debian's dataset-fashion-mnist) or no {FASHION_MODEL}")


@pytest.fixture(scope="module", params=["frozen", "train"])
def models(request, tmp_path_factory):
    """The folder with injected.onnx, trained.onnx and plain.onnx, for each mode of BatchNorm."""
    folder = tmp_path_factory.mktemp(request.param)
    good("inject", FASHION_MODEL, "-o", folder / "injected.onnx", "--bn", request.param, "--mean", MEAN, "--std", STD)
    good("train", folder / "injected.onnx", "-o", folder / "trained.onnx", "--data", IMAGES, "--labels", LABELS,
         "--range", "0:2000", "--corrupt", "fog:3", "--steps", "20", "--lr", "0.02")
    good("merge", folder / "trained.onnx", "-o", folder / "merged.onnx", "--data", IMAGES, "--range", "0:200")
    return folder


def read_idx(path, header):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


@pytest.fixture(scope="module")
def clean():
    """Images as the model wants them [N,1,28,28], and labels."""
    pixels = read_idx(IMAGES, 16).reshape(-1, 1, 28, 28)[FIRST:LAST].astype(np.float64)
    return ((pixels / 255 - float(MEAN)) / float(STD)).astype(np.float32), read_idx(LABELS, 8)[FIRST:LAST]


def evaluate(path, *options):
    return json.loads(good("eval", path, "--data", IMAGES, "--labels", LABELS, "--json", *options).stdout)


def test_same_accuracy(models, clean, tmp_path, figures):
    images, labels = clean
    ours = evaluate(models / "merged.onnx", "--range", f"{FIRST}:{LAST}")
    theirs = onnxruntime_outputs(models / "merged.onnx", images, batch=100)
    correct = int((theirs.argmax(1) == labels).sum())
    assert ours["images"] == LAST - FIRST and round(ours["accuracy"] * ours["images"]) == correct
    assert correct > 800, "a model that learnt nothing proves nothing"
    for step in ("trained", "merged"):
        outputs = our_outputs(models / f"{step}.onnx", IMAGES, tmp_path, "--range", f"{FIRST}:{LAST}")
        error = figures.largest(f"relative error, {step} here, merged there", relative_error(outputs, theirs))
        assert error <= OUTPUTS_RELATIVE and (outputs.argmax(1) == theirs.argmax(1)).all()


def test_training_helped(models):
    """Under fog, on images that training did not see: one way to see that the merged model is the trained one."""
    fog = ["--range", "5000:7000", "--corrupt", "fog:3"]
    before = evaluate(models / "injected.onnx", *fog)["accuracy"]
    trained, merged = (evaluate(models / f"{step}.onnx", *fog)["accuracy"] for step in ("trained", "merged"))
    assert trained > before + 0.1
    assert abs(trained - merged) <= 1 / 2000


def test_the_record_survives_the_merge(models, clean):
    """uint8 images need no flags with the merged model, and it loads in onnxruntime as any other."""
    session = onnxruntime.InferenceSession(str(models / "merged.onnx"), providers=["CPUExecutionProvider"])
    record = json.loads(session.get_modelmeta().custom_metadata_map["lorac.input"])
    assert record["mean"] in (float(MEAN), [float(MEAN)]) and record["std"] in (float(STD), [float(STD)])
