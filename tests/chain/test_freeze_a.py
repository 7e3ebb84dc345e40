# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""B alone (inject --freeze-a), and how adapters are run (train --form-policy)."""

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from support import SOURCE, good, initializers, metadata, relative_error, run, session_of

FORMS_RELATIVE = 1e-3  # of the largest output, after 12 steps in either form: rounding moves some ReLU over its kink


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("freeze")
    subprocess.run([sys.executable, SOURCE / "models" / "make_resnet.py", "--depth", "8", "--bn", "folded", "--form",
                    "cifar", "--width", "2", "-o", where / "plain.onnx"], check=True)
    rng = np.random.default_rng(3)
    np.save(where / "x.npy", rng.standard_normal((32, 3, 32, 32)).astype(np.float32))
    np.save(where / "y.npy", (np.arange(32) % 10).astype(np.int64))
    return where


def train(folder, source, target, *options):
    return good("train", source, "-o", target, "--data", folder / "x.npy", "--labels", folder / "y.npy", "--epochs",
                "3", "--batch", "8", "--threads", "1", *options)


def arrays(model):
    return {name: onnx.numpy_helper.to_array(tensor) for name, tensor in initializers(model).items()}


def outputs(path, images):
    session = session_of(path)
    return session.run(None, {session.get_inputs()[0].name: images})[0]


@pytest.mark.parametrize("form", ["weight", "branch"])
def test_freeze_a(folder, tmp_path, form):
    good("inject", folder / "plain.onnx", "-o", tmp_path / "both.onnx", "--form", form)
    good("inject", folder / "plain.onnx", "-o", tmp_path / "alone.onnx", "--form", form, "--freeze-a")
    both, alone = onnx.load(tmp_path / "both.onnx"), onnx.load(tmp_path / "alone.onnx")
    # The same model but for the record: the same start values too.
    assert both.graph == alone.graph
    adapters = json.loads(metadata(alone)["lorac.adapters"])
    trainable = json.loads(metadata(alone)["lorac.trainable"])
    assert adapters and all(entry["freeze_a"] is True for entry in adapters)
    assert [name for name in json.loads(metadata(both)["lorac.trainable"]) if name not in trainable] == \
        [entry["A"] for entry in adapters]

    counts = [json.loads(good("inspect", tmp_path / f"{name}.onnx", "--json").stdout) for name in ("both", "alone")]
    in_a = sum(int(np.prod(arrays(alone)[entry["A"]].shape)) for entry in adapters)
    assert counts[0]["trainable"]["adapters"] - counts[1]["trainable"]["adapters"] == in_a
    assert counts[0]["trainable"]["total"] - counts[1]["trainable"]["total"] == in_a
    for rows, frozen in zip(counts, (False, True)):
        assert all(row["freeze_a"] is (frozen and row["adapted"]) for row in rows["convolutions"])
        assert sum(rows["adapters_in_training"].values()) == len(adapters)
    assert " (A frozen)" in good("inspect", tmp_path / "alone.onnx").stdout
    planned = json.loads(good("inspect", folder / "plain.onnx", "--json", "--form", form, "--freeze-a").stdout)
    assert planned["trainable"] == counts[1]["trainable"]

    good("merge", tmp_path / "alone.onnx", "-o", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (folder / "plain.onnx").read_bytes()

    images = np.load(folder / "x.npy")
    results = []
    for policy in ("definition", "branch", "auto"):
        trained = tmp_path / f"{policy}.onnx"
        train(folder, tmp_path / "alone.onnx", trained, "--form-policy", policy)
        before, after = arrays(alone), arrays(onnx.load(trained))
        for entry in adapters:
            assert np.array_equal(before[entry["A"]], after[entry["A"]])
            assert not np.array_equal(before[entry["B"]], after[entry["B"]])
        good("merge", trained, "-o", tmp_path / f"{policy}-merged.onnx", "--no-check")
        results.append(outputs(tmp_path / f"{policy}-merged.onnx", images))
    for other in results[1:]:
        assert relative_error(other, results[0]) <= FORMS_RELATIVE


def test_form_policy(folder, tmp_path):
    """Both forms of the file give the same bits under one policy; the policies nearly the same numbers."""
    count = {}
    for form in ("weight", "branch"):
        good("inject", folder / "plain.onnx", "-o", tmp_path / f"{form}.onnx", "--form", form)
        for policy in ("auto", "definition", "branch"):
            note = train(folder, tmp_path / f"{form}.onnx", tmp_path / f"{form}-{policy}.onnx", "--form-policy",
                         policy).stderr
            count[policy] = tuple(map(int, re.search(r"(\d+) adapters by the definition, (\d+) as branches",
                                                     note).groups()))
    adapters = sum(count["auto"])
    assert count["definition"] == (adapters, 0) and count["branch"] == (0, adapters)
    images = np.load(folder / "x.npy")
    trained = {}
    for policy in count:
        pair = [arrays(onnx.load(tmp_path / f"{form}-{policy}.onnx")) for form in ("weight", "branch")]
        entries = json.loads(metadata(onnx.load(tmp_path / "weight.onnx"))["lorac.adapters"])
        for name in [entry[part] for entry in entries for part in "AB"]:
            assert np.array_equal(pair[0][name], pair[1][name])
        trained[policy] = outputs(tmp_path / f"weight-{policy}.onnx", images)
    for policy in ("auto", "branch"):
        assert relative_error(trained[policy], trained["definition"]) <= FORMS_RELATIVE


@pytest.mark.parametrize("arguments, message", [
    (["inject", "--train-all", "--freeze-a"], "--freeze-a has no effect"),
    (["train", "--form-policy", "fast"], "--form-policy"),
])
def test_refused(folder, tmp_path, arguments, message):
    data = ["--data", folder / "x.npy", "--labels", folder / "y.npy"] if arguments[0] == "train" else []
    result = run(arguments[0], folder / "plain.onnx", "-o", tmp_path / "out.onnx", *data, *arguments[1:])
    assert result.returncode == 2 and message in result.stderr
    assert not (tmp_path / "out.onnx").exists()
