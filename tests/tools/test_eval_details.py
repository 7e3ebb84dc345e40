# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""eval --confusion and --wrong against the outputs that --outputs writes."""

import collections
import json
import re

import numpy as np
import onnx
import program
import pytest
from make_resnet import make_resnet
from program import run

SIDE, COUNT = 8, 150


def good(*arguments):
    return program.good(*arguments).stdout


@pytest.fixture(scope="module", params=[4, 30])
def case(request, tmp_path_factory):
    """A model with names for its classes, images of which it gets some right, and its outputs."""
    classes = request.param
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(classes)
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(SIDE, SIDE), classes=classes), folder / "plain.onnx")
    names = [f"class {chr(97 + i % 26)}{i}" for i in range(classes)]
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    good("inject", folder / "plain.onnx", "-o", folder / "named.onnx", "--class-names", folder / "names.txt", "--mean",
         "0.5", "--std", "0.1", "--train-last")
    np.save(folder / "x.npy", random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", np.zeros(COUNT, np.int64))
    data = ["eval", folder / "named.onnx", "--data", folder / "x.npy", "--labels", folder / "y.npy", "--batch", "32"]
    good(*data, "--outputs", folder / "o.npy")
    outputs = np.load(folder / "o.npy").astype(np.float64)
    labels = np.where(random.random(COUNT) < 0.5, outputs.argmax(1), random.integers(0, classes - 1, COUNT))
    labels[labels == classes - 1] = 0  # a class without images
    np.save(folder / "y.npy", labels)
    assert len(set(outputs.argmax(1))) > 1
    return classes, names, folder, data, outputs, labels


def counted(labels, outputs):
    return collections.Counter(zip(labels.tolist(), outputs.argmax(1).tolist()))


def test_confusion_json(case):
    classes, names, _, data, outputs, labels = case
    rows = json.loads(good(*data, "--confusion", "--json"))["confusion"]
    assert [row["class"] for row in rows] == sorted(set(labels.tolist()))
    found = {(row["class"], cell["class"]): cell["images"] for row in rows for cell in row["predicted"]}
    assert found == counted(labels, outputs)
    for row in rows:
        assert row["name"] == names[row["class"]] and row["images"] == (labels == row["class"]).sum()
        assert [cell["class"] for cell in row["predicted"]] == sorted(cell["class"] for cell in row["predicted"])


def test_confusion_text(case):
    classes, names, _, data, outputs, labels = case
    lines = good(*data, "--confusion").split("\nconfusion: ")[1].splitlines()
    count = counted(labels, outputs)
    if classes <= 20:
        assert lines[1].split() == ["class", "name", *map(str, range(classes))]
        for i, line in enumerate(lines[2:]):
            head = f"{i}  {names[i]}"
            assert line.strip().startswith(head)
            assert list(map(int, line.strip()[len(head):].split())) == [count[i, j] for j in range(classes)]
        assert len(lines) == 2 + classes
        return
    wrong = sorted(((-n, i, j) for (i, j), n in count.items() if i != j))
    assert lines[0] == f"the 20 most frequent of {len(wrong)} pairs of classes (--json has all)"
    assert len(lines) == 22
    for line, (images, i, j) in zip(lines[2:], wrong):
        share = 100 * -images / (labels == i).sum()
        assert re.split(r"  +", line.strip()) == [str(i), names[i], str(j), names[j], str(-images), f"{share:.2f} %"]


def test_wrong(case):
    _, names, _, data, outputs, labels = case
    p = np.exp(outputs - outputs.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    losses = -np.log(p[np.arange(COUNT), labels])
    is_wrong = np.flatnonzero(outputs.argmax(1) != labels)
    expected = is_wrong[np.argsort(-losses[is_wrong], kind="stable")]
    rows = json.loads(good(*data, "--wrong", 7, "--json"))["wrong"]
    assert [row["index"] for row in rows] == expected[:7].tolist()
    for row in rows:
        i = row["index"]
        assert row["path"] is None and row["class"] == labels[i] and row["predicted"] == outputs[i].argmax()
        assert row["name"] == names[labels[i]] and row["predicted_name"] == names[row["predicted"]]
        assert row["confidence"] == pytest.approx(p[i].max(), rel=1e-5)
        assert row["loss"] == pytest.approx(losses[i], rel=1e-5)
    assert len(json.loads(good(*data, "--wrong", 100000, "--json"))["wrong"]) == len(expected)
    lines = good(*data, "--wrong", 3).split("\nwrong: ")[1].splitlines()
    assert lines[0] == f"the 3 with the largest loss of {len(expected)} images"
    first = re.split(r"  +", lines[2].strip())
    assert first[:3] == [str(rows[0]["index"])] + [f"{c} {names[c]}" for c in (rows[0]["class"], rows[0]["predicted"])]
    assert first[3:] == [f"{100 * rows[0]['confidence']:.2f} %", f"{rows[0]['loss']:.4f}"] and len(lines) == 5


def test_range_counts_in_the_file(case):
    _, _, _, data, outputs, labels = case
    everything = json.loads(good(*data, "--wrong", COUNT, "--json"))["wrong"]
    part = json.loads(good(*data, "--wrong", COUNT, "--json", "--range", "40:90"))["wrong"]
    assert [row["index"] for row in part] == [row["index"] for row in everything if 40 <= row["index"] < 90]


def test_without_names(case, tmp_path):
    classes, _, folder, data, _, labels = case
    plain = [data[0], folder / "plain.onnx", *data[2:], "--mean", "0.5", "--std", "0.1"]
    root = json.loads(good(*plain, "--confusion", "--wrong", 2, "--json"))
    assert {row["name"] for row in root["confusion"]} == {None}
    assert {(row["name"], row["predicted_name"]) for row in root["wrong"]} == {(None, None)}
    text = good(*plain, "--confusion", "--wrong", 2)
    assert re.search(r"^ *\d+  \d+ +\d+ +[\d.]+ % +[\d.]+$", text.split("\nwrong: ")[1], re.M)


def test_nothing_wrong(case, tmp_path):
    _, _, folder, data, outputs, _ = case
    np.save(tmp_path / "right.npy", outputs.argmax(1))
    right = [*data[:5], tmp_path / "right.npy", *data[6:]]
    assert json.loads(good(*right, "--wrong", 5, "--json"))["wrong"] == []
    assert good(*right, "--wrong", 5).endswith("\nwrong: the 0 with the largest loss of 0 images\n")


def test_labels_are_needed(case):
    _, _, _, data, _, _ = case
    for option in (["--confusion"], ["--wrong", "3"]):
        result = run(*data[:4], *option)
        assert result.returncode == 2 and f"{option[0]} needs --labels" in result.stderr
