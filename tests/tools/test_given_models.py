# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Models that leave something open (sizes, channels, which output, a shared weight) and files that are already inputs."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from program import good, run

SOURCE = pathlib.Path(os.environ["LORAC_SOURCE_DIR"])
SIDE, COUNT, CLASSES = 16, 8, 5
SIZE = ["--input-size", f"{SIDE}x{SIDE}"]


def verdict(path, *options):
    """inspect's, which text and JSON must agree on; and inject's first line, which must be the same."""
    text = good("inspect", path, *options).stdout.splitlines()[0]
    data = json.loads(good("inspect", path, "--json", *options).stdout)
    assert data["verdict_text"] == text
    return text, data


def save(path, shape=("N", 3, SIDE, SIDE), tail=(), before=(), shared=False, outputs=(), group=1, image="x"):
    """Two or three convolutions and a Gemm. [before]: nodes from 'x' to [image]; [tail]: nodes from 'scores'."""
    random = np.random.default_rng(3)
    numbers = lambda *dims: random.standard_normal(dims).astype(np.float32) * 0.3
    weights = {"w0": numbers(6, 3 // group, 3, 3), "w1": numbers(6, 6, 3, 3), "fc": numbers(CLASSES, 6),
               "bias": numbers(CLASSES)}
    nodes = [*before, helper.make_node("Conv", [image, "w0"], ["c0"], name="first", pads=[1] * 4, group=group),
             helper.make_node("Relu", ["c0"], ["r0"]),
             helper.make_node("Conv", ["r0", "w1"], ["c1"], name="second", pads=[1] * 4)]
    last = "c1"
    if shared:
        nodes.append(helper.make_node("Conv", ["c1", "w1"], ["c2"], name="third", pads=[1] * 4))
        last = "c2"
    nodes += [helper.make_node("GlobalAveragePool", [last], ["pooled"]),
              helper.make_node("Flatten", ["pooled"], ["flat"]),
              helper.make_node("Gemm", ["flat", "fc", "bias"], ["scores"], name="head", transB=1), *tail]
    infos = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs or
             [(nodes[-1].output[0], TensorProto.FLOAT)]]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], infos,
                              [numpy_helper.from_array(value, name) for name, value in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(2)
    np.save(folder / "x.npy", random.standard_normal((COUNT, 3, SIDE, SIDE)).astype(np.float32))
    np.save(folder / "last.npy", random.standard_normal((COUNT, SIDE, SIDE, 3)).astype(np.float32))
    np.save(folder / "y.npy", random.integers(0, CLASSES, COUNT))
    return folder


def works(path, data, tmp_path, images="x.npy"):
    """inject, train, merge and eval with --input-size."""
    good("inject", path, "-o", tmp_path / "injected.onnx")
    good("train", tmp_path / "injected.onnx", "-o", tmp_path / "trained.onnx", "--data", data / images, "--labels",
         data / "y.npy", "--batch", "4", "--steps", "2", *SIZE)
    good("merge", tmp_path / "trained.onnx", "-o", tmp_path / "merged.onnx", *SIZE)
    good("eval", tmp_path / "merged.onnx", "--data", data / images, "--labels", data / "y.npy", *SIZE)


# ---- outputs that are inputs

@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
@pytest.mark.parametrize("line", [
    "inject p.onnx -o {out}",
    "train p.onnx -o {out} --data {d}/x.npy --labels {d}/y.npy --batch 4",
    "train p.onnx -o o.onnx --log {out} --data {d}/x.npy --labels {d}/y.npy --batch 4",
    "eval p.onnx --outputs {out} --data {d}/x.npy",
    "merge p.onnx -o {out}",
    "merge p.onnx -o {out} --no-check",
])
def test_a_models_data_file_is_no_output(data, tmp_path, line, link):
    save(tmp_path / "m.onnx")
    good("inject", "m.onnx", "-o", "p.onnx", "--external-data", "external", cwd=tmp_path)
    out = {"": "p.onnx.data", "symbolic": "link", "hard": "link"}[link]
    if link:
        (os.symlink if link == "symbolic" else os.link)(tmp_path / "p.onnx.data", tmp_path / "link")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    result = run(*line.format(d=data, out=out).split(), cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert f"'{out}' is also an input" in result.stderr and len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


@pytest.mark.parametrize("line", [
    "inject {m} -o names.txt --class-names names.txt",
    "inject {m} -o link --class-names names.txt",
    "eval {m} --data {d}/x.npy --labels labels.npy --outputs labels.npy",
    "merge {m} --data images.npy -o images.npy",
])
def test_other_inputs_are_no_outputs(data, tmp_path, line):
    save(tmp_path / "m.onnx")
    (tmp_path / "names.txt").write_text("a\nb\n")
    os.symlink("names.txt", tmp_path / "link")
    shutil.copy(data / "y.npy", tmp_path / "labels.npy")
    shutil.copy(data / "x.npy", tmp_path / "images.npy")
    result = run(*line.format(d=data, m="m.onnx").split(), cwd=tmp_path)
    assert result.returncode == 2 and "is also an input" in result.stderr, result.stderr


# ---- a size that is left free

def test_a_free_size_is_tried(data, tmp_path):
    free = save(tmp_path / "free.onnx", ("N", 3, "H", "W"))
    text, found = verdict(free)
    tried = ", with images of 224x224 (the model leaves the size free; --input-size HxW)"
    assert text == "trainable: adapters on 1 of 2 convolutions" + tried
    assert found["tried_size"] == [224, 224] and found["input"]["height"] == 0
    assert found["convolutions"][0]["output"] == [6, 224, 224] and found["training_peak_bytes"] > 0
    assert good("inject", free, "-o", tmp_path / "o.onnx").stdout.splitlines()[0] == text
    text, found = verdict(free, *SIZE)
    assert text == "trainable: adapters on 1 of 2 convolutions" and found["tried_size"] is None
    assert found["convolutions"][0]["output"] == [6, SIDE, SIDE]
    assert good("inject", free, "-o", tmp_path / "o.onnx", *SIZE).stdout.splitlines()[0] == text
    half = save(tmp_path / "half.onnx", ("N", 3, "H", 20))
    assert "with images of 224x20 (" in verdict(half)[0] and verdict(half)[1]["input"]["width"] == 20
    works(free, data, tmp_path)


def test_what_only_fits_the_smaller_size_is_found(tmp_path):
    # A pooling of 32x32 leaves the Gemm its 6 numbers only where the image is one window.
    model = onnx.load(save(tmp_path / "small.onnx", ("N", 3, "H", "W")))
    nodes = model.graph.node
    for i, node in enumerate(nodes):
        if node.op_type == "GlobalAveragePool":
            nodes[i].CopyFrom(helper.make_node("AveragePool", ["c1"], ["pooled"], kernel_shape=[32, 32],
                                               strides=[32, 32]))
    onnx.save(model, tmp_path / "small.onnx")
    text, found = verdict(tmp_path / "small.onnx")
    assert "trainable: adapters on 1 of 2" in text and "with images of 32x32 (" in text
    assert found["verdict"] == "trainable" and found["refused"] == []
    assert good("inject", tmp_path / "small.onnx", "-o", tmp_path / "o.onnx").stdout.splitlines()[0] == text


def test_refusals_of_a_free_size_are_listed(tmp_path):
    sine = [helper.make_node("Sin", ["x"], ["s"], name="wave")]
    path = save(tmp_path / "sine.onnx", ("N", 3, "H", "W"), before=sine, image="s")
    text, found = verdict(path)
    assert text.startswith("not trainable: node 'wave' (Sin)") and "with images of 224x224 (" in text
    assert [row["node"] for row in found["refused"]] == ["wave"]
    assert "--input-size" in text
    assert good("inject", path, "-o", tmp_path / "o.onnx").stdout.splitlines()[0] == text


def test_a_new_head_of_a_free_size_is_run(tmp_path):
    tail = [helper.make_node("Mul", ["scores", "five"], ["scaled"], name="scale")]
    model = onnx.load(save(tmp_path / "m.onnx", ("N", 3, "H", "W"), tail=tail))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(CLASSES, np.float32), "five"))
    onnx.save(model, tmp_path / "m.onnx")
    result = run("inject", tmp_path / "m.onnx", "-o", tmp_path / "o.onnx", "--classes", "7")
    assert result.returncode == 1 and "scale" in result.stderr and not (tmp_path / "o.onnx").exists()


# ---- channels or a whole shape that are left free

BRIGHT = [helper.make_node("Mul", ["x", "x"], ["m"]), helper.make_node("Cast", ["m"], ["image"], to=1)]
TURNED = [helper.make_node("Transpose", ["x"], ["image"], perm=[0, 3, 1, 2])]


@pytest.mark.parametrize("name,shape,keywords", [
    ("channels", ("N", "C", SIDE, SIDE), {}),
    ("channels and size", ("N", "C", "H", "W"), {}),
    ("nothing", None, {}),
    ("behind nodes", None, {"before": BRIGHT, "image": "image"}),
    ("grouped", None, {"group": 3}),
    ("channels last", ("N", "H", "W", "C"), {"before": TURNED, "image": "image"}),
    ("channels last, nothing", None, {"before": TURNED, "image": "image"}),
])
def test_free_channels_are_those_of_the_first_convolution(data, tmp_path, name, shape, keywords):
    path = save(tmp_path / "m.onnx", shape, **keywords)
    found = verdict(path)[1]
    assert found["input"]["channels"] == 3 and found["verdict"] == "trainable"
    assert verdict(path, *SIZE)[1]["convolutions"][0]["output"] == [6, SIDE, SIDE]
    last = name.startswith("channels last")
    assert found["input"]["channels_last"] == last
    works(path, data, tmp_path, "last.npy" if last else "x.npy")
    if not (shape and shape[2] == SIDE):
        refused = run("eval", path, "--data", data / "x.npy")
        assert refused.returncode == 2 and "give --input-size HxW" in refused.stderr


def test_no_shape_and_no_convolution_of_two_dimensions_is_refused(tmp_path):
    model = onnx.load(save(tmp_path / "m.onnx", None))
    model.graph.node[0].CopyFrom(helper.make_node("Sin", ["x"], ["c0"]))
    onnx.save(model, tmp_path / "m.onnx")
    text = verdict(tmp_path / "m.onnx")[0]
    assert text.startswith("not trainable: input 'x' has rank 0; an image of rank 4 is supported")


# ---- several outputs

ARGMAX = [helper.make_node("ArgMax", ["scores"], ["label"], name="arg", axis=1)]
BOTH = [("label", TensorProto.INT64), ("scores", TensorProto.FLOAT)]
FEATURES = [("r0", TensorProto.FLOAT), ("scores", TensorProto.FLOAT)]


@pytest.mark.parametrize("tail,outputs", [(ARGMAX, BOTH), ([], FEATURES)], ids=["argmax", "features"])
def test_another_output_is_named(data, tmp_path, tail, outputs):
    path = save(tmp_path / "m.onnx", tail=tail, outputs=outputs)
    hint = f"choose another output with --output-name NAME: the model has '{outputs[0][0]}', 'scores'"
    text, found = verdict(path)
    assert found["verdict"] == "not" and text.endswith(hint)
    for command in (["inject", path, "-o", tmp_path / "o.onnx"], ["eval", path, "--data", data / "x.npy"],
                    ["inject", path, "-o", tmp_path / "o.onnx", "--classes", "3"]):
        result = run(*command)
        assert result.returncode != 0 and result.stderr.endswith(hint + "\n"), result.stderr
    text, found = verdict(path, "--output-name", "scores")
    assert text == "trainable: adapters on 1 of 2 convolutions" and found["output"] == "scores"
    good("inject", path, "-o", tmp_path / "o.onnx", "--output-name", "scores")
    assert verdict(tmp_path / "o.onnx")[1]["verdict"] == "trainable"
    # of an injected model too, for this one look
    assert verdict(tmp_path / "o.onnx", "--output-name", outputs[0][0])[1]["verdict"] == "not"


def test_an_output_that_is_not_there_is_refused(tmp_path):
    result = run("inspect", save(tmp_path / "m.onnx"), "--output-name", "no")
    assert result.returncode == 2 and "the model has no output 'no'; it has 'scores'" in result.stderr


# ---- what is counted, and what the loss is

def test_copies_are_counted_on_both_sides(tmp_path):
    path = save(tmp_path / "m.onnx", shared=True)
    before = verdict(path, "--train-all")[1]
    text = good("inject", path, "-o", tmp_path / "o.onnx", "--train-all").stdout
    after = verdict(tmp_path / "o.onnx")[1]
    base, copies = before["parameters"], 2 * 6 * 6 * 3 * 3
    total = base - copies // 2 + copies
    assert before["trainable"]["copies"] == copies and before["trainable"]["total"] == total
    assert before["trainable"]["percent"] == pytest.approx(100 * total / (base + copies))
    assert after["trainable"]["copies"] == copies and after["parameters"] == base
    assert after["trainable"]["percent"] == before["trainable"]["percent"]
    assert re.search(rf"^trainable {total} of {base + copies} parameters \(\d\d\.\d\d %\)", text, re.M)
    assert f"{copies} of them are copies" in text


@pytest.mark.parametrize("options", [["--classes", "1"], ["--class-names", "one.txt"], ["--classes", "0"]])
def test_one_class_is_refused(tmp_path, options):
    save(tmp_path / "m.onnx")
    (tmp_path / "one.txt").write_text("only\n")
    result = run("inject", "m.onnx", "-o", "o.onnx", *options, cwd=tmp_path)
    assert result.returncode == (1 if "one.txt" in options else 2)
    assert "the loss over one class is always 0" in result.stderr and not (tmp_path / "o.onnx").exists()


def test_a_sigmoid_at_the_end_is_noted(data, tmp_path):
    tail = [helper.make_node("Sigmoid", ["scores"], ["p"], name="squash"), helper.make_node("Identity", ["p"], ["out"])]
    path = save(tmp_path / "m.onnx", tail=tail)
    note = "the model ends in Sigmoid ('squash'): the loss, softmax cross-entropy, is taken of its outputs as they are"
    assert note in good("inspect", path).stdout and verdict(path)[1]["loss_note"] == note
    result = good("inject", path, "-o", tmp_path / "o.onnx")
    assert result.stderr == f"lorac-onnx inject: note: {note}\n"
    good("eval", path, "--data", data / "x.npy", "--outputs", tmp_path / "out.npy")
    outputs, labels = np.load(tmp_path / "out.npy").astype(np.float64), np.load(data / "y.npy")
    logp = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
    loss = json.loads(good("eval", path, "--data", data / "x.npy", "--labels", data / "y.npy", "--json").stdout)["loss"]
    assert loss == pytest.approx(-logp[np.arange(COUNT), labels].mean(), rel=1e-5)
    plain = save(tmp_path / "plain.onnx")
    assert verdict(plain)[1]["loss_note"] is None and good("inject", plain, "-o", tmp_path / "o.onnx").stderr == ""


# ---- building

def test_build_makes_its_folder(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cmake", "ninja"):
        (tools / name).write_text("#!/bin/sh\nexit 0\n")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    folder = tmp_path / "not" / "there"
    result = subprocess.run(["sh", SOURCE / "tools/build.sh", folder], env=environment, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == "" and folder.is_dir(), result.stderr
