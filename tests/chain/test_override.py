# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""inject --override: another rank or alpha for some of the adapters."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from support import SOURCE, good, initializers, metadata, onnxruntime_outputs, relative_error, run

# Of the largest output: what merge itself allows between its two models.
MERGED_RELATIVE = 1e-5
CHOSEN = ("--override", "layer1.*conv1:rank=3,alpha=5", "--override", "layer[12]:alpha=2.5", "--override",
          "layer3:rank=1")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("override") / "base.onnx"
    subprocess.run([sys.executable, SOURCE / "models" / "make_resnet.py", "--depth", "8", "--bn", "kept", "--form",
                    "cifar", "--width", "2", "--seed", "1", "-o", path], check=True)
    return path


def expected(conv):
    if "layer1" in conv and "conv1" in conv:
        return 3, 5.0
    if "layer1" in conv or "layer2" in conv:
        return 6, 2.5
    return 1, 9.0


def test_each_adapter_has_the_values_of_the_first_that_matches(base, tmp_path):
    out = tmp_path / "injected.onnx"
    good("inject", base, "-o", out, "--rank", "6", "--alpha", "9", *CHOSEN)
    tensors = {name: onnx.numpy_helper.to_array(t) for name, t in initializers(onnx.load(out)).items()}
    adapters = json.loads(metadata(onnx.load(out))["lorac.adapters"])
    assert {expected(a["conv"]) for a in adapters} == {(3, 5.0), (6, 2.5), (1, 9.0)}
    for adapter in adapters:
        rank, alpha = expected(adapter["conv"])
        kernel = tensors[adapter["weight"]].shape[3]
        assert (adapter["rank"], adapter["alpha"]) == (rank, alpha), adapter["conv"]
        assert tensors[adapter["A"]].shape[0] == rank * kernel
        assert tensors[f"{adapter['conv']}/lora_scale"] == np.float32(alpha / rank)


def test_trained_and_merged(base, tmp_path):
    rng = np.random.default_rng(3)
    np.save(tmp_path / "x.npy", rng.standard_normal((16, 3, 32, 32)).astype(np.float32))
    np.save(tmp_path / "y.npy", (np.arange(16) % 10).astype(np.int64))
    injected, trained, plain = (tmp_path / f"{name}.onnx" for name in ("injected", "trained", "plain"))
    good("inject", base, "-o", injected, "--branch-layers", "layer2", *CHOSEN)
    good("train", injected, "-o", trained, "--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--batch", "8",
         "--lr", "0.05")
    good("merge", trained, "-o", plain)
    images = rng.standard_normal((4, 3, 32, 32)).astype(np.float32)
    before, after = (onnxruntime_outputs(path, images) for path in (trained, plain))
    assert relative_error(after, before) < MERGED_RELATIVE
    assert relative_error(onnxruntime_outputs(base, images), before) > 100 * MERGED_RELATIVE  # it did learn
    good("extract", trained, "-o", tmp_path / "adapter.safetensors")
    good("apply", base, tmp_path / "adapter.safetensors", "-o", tmp_path / "applied.onnx")
    assert (tmp_path / "applied.onnx").read_bytes() == trained.read_bytes()


def test_inspect_shows_them(base):
    rows = json.loads(good("inspect", base, "--json", "--rank", "6", *CHOSEN).stdout)
    whole = json.loads(good("inspect", base, "--json", "--rank", "6").stdout)
    assert rows != whole


def test_a_pattern_without_a_convolution_is_noted(base, tmp_path):
    note = good("inject", base, "-o", tmp_path / "out.onnx", "--override", "nothing:rank=2").stderr
    assert "--override 'nothing' matches no convolution" in note


@pytest.mark.parametrize("text, message", [
    ("x", "must be REGEX:rank=R, REGEX:alpha=X or REGEX:rank=R,alpha=X"),
    (":rank=2", "must be REGEX:rank=R"),
    ("x:", "after the last colon must stand rank=R, alpha=X"),
    ("x:rank=2;alpha=3", "--rank 2;alpha=3: must be a whole number"),
    ("x:rank=0", "--rank 0: must be at least 1"),
    ("x:alpha=-1", "--alpha -1: must be above 0"),
    ("x:rank=2,", "ends with a comma"),
    ("layer3:rank=2:alpha=4", "rank and alpha must have a comma between them: REGEX:rank=R,alpha=X"),
    ("layer3:alpha=4:rank=2", "rank and alpha must have a comma between them"),
    ("x:rank=2,rank=3", "names a value twice"),
    ("x:" + "rank=" + "1" * 70, "the value is too long"),
    ("y" * 256 + ":rank=1", "the pattern is longer than 255 bytes"),
    ("(:rank=2", "'(' is not a POSIX extended regular expression"),
    ("x:alpha=1e-60", "--override 'x': alpha/rank is"),
])
def test_refused(base, tmp_path, text, message):
    result = run("inject", base, "-o", tmp_path / "out.onnx", "--override", text)
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "out.onnx").exists()


def test_not_with_train_all(base, tmp_path):
    result = run("inject", base, "-o", tmp_path / "out.onnx", "--train-all", "--override", "x:rank=2")
    assert result.returncode == 2 and "--override has no effect" in result.stderr
