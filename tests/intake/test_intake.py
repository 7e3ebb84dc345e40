# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Every model of README.md's table through the whole path, against onnxruntime; the others are refused in its words.

Accepted: eval gives what onnxruntime gives; injected equals original; two training steps; merge; merged equals trained;
onnx's checker on every file; with both forms of adapter for a share of them.
"""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from as_float import as_float
from chain.support import good, relative_error, run
from make_helper import NOT_CHECKED
from table import MODELS, rows
from training_log import lines_of

# Of the largest output. Sums are in another order here; float16 models are computed in float32 here, in float16 there.
OUTPUTS_RELATIVE = 1e-4
HALF_RELATIVE = 1e-2
# B is zero, so W0 + s*0 is W0, and y + s*0 is y.
INJECTED_RELATIVE = 1e-6
IMAGES, BATCH, STEPS = 4, 2, 2
SIDE = 32  # where height and width are free
SMALL_TYPES = ("tensor(float16)", "tensor(bfloat16)")

TABLE = rows()
# Options that a model needs, at inject.
OPTIONS = {"torch-trace-op13-features-first": ["--output-name", "logits"]}


def is_branch_too(i):
    """A third of the models is taken through the other form of adapter as well."""
    return i % 3 == 0


def load(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # IR 3 models get a warning for each initialiser
    options.intra_op_num_threads = 1
    # As the model says: the optimiser folds BatchNorm of the original and not of the injected, which rounds in another
    # way, and computes with quantised weights more coarsely.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path if isinstance(path, bytes) else str(path), options,
                                        providers=["CPUExecutionProvider"])


def numpy_type(text):
    return {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
            "tensor(uint8)": np.uint8}[text]


class Reference:
    """A model in onnxruntime; in float32 where onnxruntime has no kernels for its type."""

    def __init__(self, path):
        model = onnx.load(path)
        self.is_small = any(tensor.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
                            for tensor in model.graph.initializer)
        self.session = load(as_float(model).SerializeToString() if needs_float(model) else path)
        self.input = self.session.get_inputs()[0]
        self.outputs = [output.name for output in self.session.get_outputs()]

    def shape(self):
        """Of one image, as the model declares it."""
        return [side if isinstance(side, int) else SIDE for side in self.input.shape[1:]]

    def run(self, images):
        """All outputs, the batch as the model declares it."""
        batch = self.input.shape[0] if isinstance(self.input.shape[0], int) else len(images)
        images = images.astype(numpy_type(self.input.type))
        parts = [self.session.run(None, {self.input.name: images[i:i + batch]}) for i in range(0, len(images), batch)]
        return [np.concatenate(each).astype(np.float32) for each in zip(*parts)]


def needs_float(model):
    types = {tensor.data_type for tensor in model.graph.initializer} | \
        {value.type.tensor_type.elem_type for value in model.graph.input}
    return bool(types & {onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE})


class Walk:
    def __init__(self, row, folder):
        self.row, self.folder = row, folder
        self.reference = Reference(row.path)
        self.tolerance = HALF_RELATIVE if self.reference.is_small else OUTPUTS_RELATIVE
        shape = self.reference.shape()
        numbers = np.random.default_rng(TABLE.index(row))
        self.images = numbers.standard_normal((IMAGES, *shape)).astype(np.float32)
        self.expected = self.reference.run(self.images)
        self.trained = self.reference.outputs.index(OPTIONS[row.name][1]) if row.name in OPTIONS else 0
        self.classes = self.expected[self.trained].shape[1]
        np.save(folder / "images.npy", self.images)
        np.save(folder / "labels.npy", numbers.integers(0, self.classes, IMAGES))
        sides = self.reference.input.shape[2:]
        self.size = [] if all(isinstance(side, int) for side in sides) else ["--input-size", f"{SIDE}x{SIDE}"]
        self.run = ["--threads", 1, *self.size]

    def eval(self, path):
        good("eval", path, "--data", self.folder / "images.npy", "--outputs", self.folder / "outputs.npy", "--batch",
             BATCH, "--quiet", *self.run)
        return np.load(self.folder / "outputs.npy")

    def check(self, path):
        if self.row.name not in NOT_CHECKED:
            onnx.checker.check_model(str(path), full_check=True)

    def inject(self, form):
        injected = self.folder / f"{form}-injected.onnx"
        good("inject", self.row.path, "-o", injected, "--quiet", "--rank", 2, *FORM_OPTIONS[form],
             *OPTIONS.get(self.row.name, []))
        self.check(injected)
        for actual, expected in zip(Reference(injected).run(self.images), self.expected):
            assert relative_error(actual, expected) <= (HALF_RELATIVE if self.reference.is_small
                                                        else INJECTED_RELATIVE), "injected differs from the original"
        return injected

    def train(self, form, injected):
        trained, log = self.folder / f"{form}-trained.onnx", self.folder / f"{form}-log"
        good("train", injected, "-o", trained, "--data", self.folder / "images.npy", "--labels",
             self.folder / "labels.npy", "--steps", STEPS, "--batch", BATCH, "--lr", "0.01", "--quiet", "--log", log,
             *self.run)
        lines = lines_of(log, "step")
        assert len(lines) == STEPS and all(np.isfinite(line["loss"]) and line["gradient_norm"] > 0 for line in lines)
        self.check(trained)
        return trained

    def merge(self, form, trained):
        merged = self.folder / f"{form}-merged.onnx"
        good("merge", trained, "-o", merged, "--quiet", "--random", 4, "--batch", BATCH, *self.merge_tolerance(),
             *self.run)
        self.check(merged)
        before, after = Reference(trained).run(self.images), Reference(merged).run(self.images)
        moved = relative_error(before[self.trained], self.expected[self.trained])
        assert moved > 1e-6, "training changed nothing"
        for actual, expected in zip(after, before):
            assert relative_error(actual, expected) <= self.tolerance, "merged differs from trained"
        assert relative_error(self.eval(merged), after[self.trained]) <= self.tolerance
        return merged

    def merge_tolerance(self):
        return ["--tolerance", HALF_RELATIVE] if self.reference.is_small else []

    def whole(self, form):
        self.merge(form, self.train(form, self.inject(form)))


FORM_OPTIONS = {"weight": [], "branch": ["--form", "branch"]}


def accepted(row, folder):
    self = Walk(row, folder)
    assert relative_error(self.eval(row.path), self.expected[0]) <= self.tolerance, "eval differs from onnxruntime"
    self.whole("weight")
    if is_branch_too(TABLE.index(row)):
        self.whole("branch")


def refused(row, folder):
    """Refused by inspect as a finding, by inject before anything is written, in the same words."""
    seen = run("inspect", row.path)
    assert seen.returncode == 0 and row.refusal in seen.stdout, f"{seen.stdout}\n{seen.stderr}"
    np.save(folder / "images.npy", np.zeros((2, 3, 32, 32), np.float32))
    result = run("eval", row.path, "--data", folder / "images.npy", "--threads", 1)
    assert result.returncode == 1, f"exit {result.returncode}: {result.stderr}"
    assert len(result.stderr.strip().splitlines()) == 1 and row.refusal in result.stderr, result.stderr


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_model(row, tmp_path):
    assert row.path.exists(), f"{row.path} is not there"
    if row.refusal:
        refused(row, tmp_path)
    else:
        accepted(row, tmp_path)


def test_channels_last_are_normalised_by_channel(tmp_path):
    """The channels are where the graph has them, for what is recorded and for pixels as bytes."""
    injected = tmp_path / "injected.onnx"
    good("inject", MODELS / "tf2onnx-op15-resnet.onnx", "-o", injected, "--mean", "0.4,0.5,0.6", "--std", "0.2")
    shown = json.loads(good("inspect", injected, "--json").stdout)["input"]
    assert shown["channels_last"] is True and shown["channels"] == 3
    pixels = np.random.default_rng(3).integers(0, 256, (IMAGES, shown["height"], shown["width"], 3), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    good("eval", injected, "--data", tmp_path / "pixels.npy", "--outputs", tmp_path / "out.npy", "--threads", "1")
    reference = Reference(injected).run((pixels / 255 - [0.4, 0.5, 0.6]) / 0.2)[0]
    assert relative_error(np.load(tmp_path / "out.npy"), reference) < OUTPUTS_RELATIVE


def test_table_is_complete():
    """A row for each file, and the sets that it states."""
    names = {path.name if path.is_dir() else path.stem for path in MODELS.iterdir()}
    listed = [row.name for row in TABLE if row.path.is_relative_to(MODELS)]
    assert sorted(listed) == sorted(names)
    for row in TABLE:
        model = onnx.load(row.path, load_external_data=False)
        assert next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) == row.opset, row.name
