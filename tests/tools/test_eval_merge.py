# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What eval, merge and compare compute, beside onnxruntime and beside one another."""

import gzip
import json
import os
import re
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from cli_files import CLASSES, COUNT
from program import PROGRAM, good, run


# ---- eval

def test_eval_against_onnxruntime(files, trained, tmp_path):
    images, labels = np.load(files / "x.npy"), np.load(files / "y.npy")
    x = ((images.astype(np.float32) / 255 - 0.5) / 0.25).transpose(0, 3, 1, 2).copy()
    for model in [files / "injected.onnx", trained / "trained.onnx", trained / "merged.onnx"]:
        result = good("eval", model, "--data", files / "x.npy", "--labels", files / "y.npy", "--json", "--per-class",
                      "--outputs", tmp_path / "o.npy", "--batch", "10")
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        expected = session.run(None, {"input": x})[0]
        outputs = np.load(tmp_path / "o.npy")
        assert outputs.dtype == np.float32 and outputs.shape == (COUNT, CLASSES)
        assert np.abs(outputs - expected).max() <= 1e-4 * np.abs(expected).max()
        data = json.loads(result.stdout)
        logp = expected - expected.max(1, keepdims=True)
        logp = logp - np.log(np.exp(logp).sum(1, keepdims=True))
        assert data["images"] == COUNT
        assert data["accuracy"] == pytest.approx((expected.argmax(1) == labels).mean())
        assert data["loss"] == pytest.approx(-logp[np.arange(COUNT), labels].mean(), rel=1e-4)
        assert data["images_per_second"] > 0
        assert sum(row["images"] for row in data["per_class"]) == COUNT
        for row in data["per_class"]:
            mine = labels == row["class"]
            assert (row["images"], row["correct"]) == (mine.sum(), (expected.argmax(1)[mine] == row["class"]).sum())


def test_eval_texts(files):
    labelled = good("eval", files / "injected.onnx", "--data", files / "x.npy", "--labels", files / "y.npy",
                    "--per-class").stdout
    assert re.search(r"^images +48\naccuracy +[\d.]+ % \(\d+\)\nmean loss +[\d.]+\nimages/s +\d+\n\nclass", labelled)
    assert len(labelled.splitlines()) == 6 + CLASSES
    bare = good("eval", files / "injected.onnx", "--data", files / "x.npy")
    assert re.fullmatch(r"images +48\nimages/s +\d+\n", bare.stdout) and bare.stderr == ""
    data = json.loads(good("eval", files / "injected.onnx", "--data", files / "x.npy", "--json").stdout)
    assert data["accuracy"] is None and data["loss"] is None


def test_more_threads_than_processors_are_noted(files):
    allowed = sorted(os.sched_getaffinity(0))
    for processors in {1, len(allowed)}:
        result = subprocess.run([PROGRAM, "eval", files / "injected.onnx", "--data", files / "x.npy", "--range", "0:1",
                                 "--batch", "1", "--threads", str(processors + 1)], capture_output=True, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, allowed[:processors]))
        assert result.returncode == 0 and len(result.stderr.splitlines()) == 1
        assert f"--threads {processors + 1} on {processors} processor" in result.stderr


def test_eval_softmax_gives_probabilities(files, tmp_path):
    good("eval", files / "softmax.onnx", "--data", files / "f.npy", "--outputs", tmp_path / "o.npy")
    assert np.load(tmp_path / "o.npy").sum(1) == pytest.approx(np.ones(COUNT), abs=1e-5)


def outputs_of(files, tmp_path, *options, model="injected.onnx", data="x.npy"):
    good("eval", files / model, "--data", files / data, "--outputs", tmp_path / "o.npy", *options)
    return np.load(tmp_path / "o.npy")


def test_exact_takes_plain_sums(files, tmp_path):
    fast, exact = (outputs_of(files, tmp_path, *options, model="plain.onnx", data="f.npy")
                   for options in ([], ["--exact"]))
    assert not np.array_equal(fast, exact)  # else no convolution of the model runs by Winograd, and nothing was tested
    assert np.abs(fast - exact).max() < 1e-4 * np.abs(exact).max()
    good("compare", files / "plain.onnx", files / "plain.onnx", "--exact", "--tolerance", "0")


def test_flags_override_the_record(files, tmp_path):
    recorded = outputs_of(files, tmp_path)
    assert np.array_equal(recorded, outputs_of(files, tmp_path, "--mean", "0.5"))  # the rest comes from the record
    assert np.array_equal(recorded, outputs_of(files, tmp_path, "--mean", "0.5,0.5,0.5", "--std", "0.25", "--scale",
                                               "1/255", "--channel-order", "rgb"))
    assert np.array_equal(recorded, outputs_of(files, tmp_path, "--mean", "0.5", "--std", "0.25", model="silent.onnx"))
    for other in (["--mean", "0.4"], ["--std", "0.3"], ["--scale", "1"], ["--channel-order", "bgr"],
                  ["--normalize", "none"], ["--corrupt", "fog:5"]):
        assert not np.array_equal(recorded, outputs_of(files, tmp_path, *other)), other
    none = outputs_of(files, tmp_path, "--normalize", "none")
    assert np.array_equal(none, outputs_of(files, tmp_path, "--scale", "1", "--mean", "0", "--std", "1"))


def test_float_images_are_taken_as_they_are(files, tmp_path):
    result = good("eval", files / "injected.onnx", "--data", files / "f.npy", "--mean", "0.3", "--outputs",
                  tmp_path / "o.npy")
    assert "are not used" in result.stderr and len(result.stderr.splitlines()) == 1
    with_flag = np.load(tmp_path / "o.npy")
    assert np.array_equal(with_flag, outputs_of(files, tmp_path, data="f.npy"))
    assert good("eval", files / "injected.onnx", "--data", files / "f.npy", "--mean", "0.3", "--quiet").stderr == ""


def test_range_takes_the_same_images(files, tmp_path):
    everything = outputs_of(files, tmp_path, "--corrupt", "gaussian_noise:3", "--batch", "1")
    part = outputs_of(files, tmp_path, "--corrupt", "gaussian_noise:3", "--batch", "1", "--range", "10:20")
    assert np.array_equal(part, everything[10:20])


def test_gzipped_images(files, tmp_path):
    with gzip.open(tmp_path / "x.npy.gz", "wb") as out:
        out.write((files / "x.npy").read_bytes())
    good("eval", files / "injected.onnx", "--data", tmp_path / "x.npy.gz", "--outputs", tmp_path / "z.npy")
    assert np.array_equal(np.load(tmp_path / "z.npy"), outputs_of(files, tmp_path))


def test_free_input_size(files, tmp_path):
    model = onnx.load(files / "plain.onnx")
    for i in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_param = f"side{i}"
    onnx.save(model, tmp_path / "free.onnx")
    refused = run("eval", tmp_path / "free.onnx", "--data", files / "f.npy")
    assert refused.returncode == 2 and "--input-size" in refused.stderr
    good("eval", tmp_path / "free.onnx", "--data", files / "f.npy", "--outputs", tmp_path / "a.npy", "--input-size",
         "16x16")
    assert np.array_equal(np.load(tmp_path / "a.npy"), outputs_of(files, tmp_path, model="plain.onnx", data="f.npy"))
    tried = json.loads(good("inspect", tmp_path / "free.onnx", "--json").stdout)
    assert tried["tried_size"] == [224, 224]
    sized = json.loads(good("inspect", tmp_path / "free.onnx", "--json", "--input-size", "16x16").stdout)
    assert 0 < sized["multiply_adds_per_image"] < tried["multiply_adds_per_image"] and sized["tried_size"] is None
    good("compare", tmp_path / "free.onnx", files / "plain.onnx", "--input-size", "16x16", "--tolerance", "0")


# ---- merge and compare

def test_merge_and_compare_agree(files, trained):
    result = good("compare", trained / "trained.onnx", trained / "merged.onnx", "--data", files / "x.npy")
    assert re.search(r"x\.npy +48 +\S+ +\S+ +\S+ +48 \(100\.00 %\)", result.stdout)
    meta = {p.key for p in onnx.load(trained / "merged.onnx").metadata_props}
    assert meta == {"lorac.input"}
    merged = good("merge", trained / "trained.onnx", "-o", trained / "again.onnx", "--data", files / "x.npy", "--range",
                  "0:20")
    assert re.search(r"random +32 ", merged.stdout) and re.search(r"x\.npy +20 ", merged.stdout)
    assert "merged 8 adapters" in merged.stdout
    assert (trained / "again.onnx").read_bytes() == (trained / "merged.onnx").read_bytes()
    good("merge", trained / "trained.onnx", "-o", trained / "again.onnx", "--no-check")
    assert (trained / "again.onnx").read_bytes() == (trained / "merged.onnx").read_bytes()


def test_compare_notes_unused_flags_once(files):
    flags = ["--mean", "0.1", "--data"]
    assert good("compare", files / "plain.onnx", files / "plain.onnx", *flags, files / "x.npy").stderr == ""
    result = good("compare", files / "plain.onnx", files / "plain.onnx", *flags, files / "f.npy")
    assert "are not used" in result.stderr and len(result.stderr.splitlines()) == 1


def test_merge_checks_with_flags(files, trained, tmp_path):
    result = good("merge", trained / "trained.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--mean",
                  "0.1")
    assert result.stderr == "" and len(re.findall(r"^(?:random|\S*x\.npy) ", result.stdout, re.M)) == 2


def test_above_tolerance(files, trained, tmp_path):
    result = run("compare", files / "plain.onnx", files / "other.onnx")
    assert result.returncode == 3 and "above the tolerance 0.0001" in result.stderr
    assert re.search(r"random +32 ", result.stdout)
    good("compare", files / "plain.onnx", files / "other.onnx", "--tolerance", "1e6")
    good("compare", files / "plain.onnx", files / "plain.onnx", "--tolerance", "0")
    refused = run("merge", trained / "trained.onnx", "-o", tmp_path / "o.onnx", "--tolerance", "0")
    if refused.returncode == 0:
        pytest.skip("the merged model is the same to the last bit")
    assert refused.returncode == 3 and "nothing was written" in refused.stderr
    assert list(tmp_path.iterdir()) == []
