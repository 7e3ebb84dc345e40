# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Numbers that are none, divergence, interruption: the message names the place, and what is written is whole."""

import re
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from onnx import numpy_helper
from support import PROGRAM, good, initializers, onnxruntime_outputs, our_outputs, random_images, relative_error, run
from training_log import lines_of

COUNT, CLASSES, SIDE = 24, 10, 32


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for bn in ("kept", "folded"):
        onnx.save(make_resnet(depth=18, width=0.25, bn=bn), folder / f"{bn}.onnx")
        good("inject", folder / f"{bn}.onnx", "-o", folder / f"{bn}-injected.onnx", "--train-first")
    good("inject", folder / "kept.onnx", "-o", folder / "train-injected.onnx", "--bn", "train")
    np.save(folder / "x.npy", random_images(COUNT, (3, SIDE, SIDE)))
    np.save(folder / "y.npy", np.random.default_rng(2).integers(0, CLASSES, COUNT))
    return folder


def train_command(files, model, output, *options):
    data = ["--data", files / "x.npy", "--labels", files / "y.npy", "--batch", "8"]
    return ["train", model, "-o", output, *data, *options]


def one_line(result, code):
    assert result.returncode == code and result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


# ---- weights and images that are no numbers

# Conv, BatchNormalization, Gemm, adapter; first, middle and last element.
BAD_WEIGHTS = [("conv1.weight", 0, np.nan), ("layer2.0.conv2.weight", 100, np.inf),
               ("layer3.1.bn1.running_var", -1, np.nan), ("layer4.0.bn2.bias", 3, -np.inf), ("fc.weight", -1, np.nan),
               ("fc.bias", 2, np.inf)]


def save_with(model, name, index, value, path):
    """The model, with one element of an initialiser replaced."""
    tensor = initializers(model)[name]
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[index] = value
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, path)


@pytest.mark.parametrize("name,index,value", BAD_WEIGHTS, ids=[row[0] for row in BAD_WEIGHTS])
def test_a_weight_that_is_no_number(files, tmp_path, name, index, value):
    for model in ("kept", "kept-injected"):
        save_with(onnx.load(files / f"{model}.onnx"), name, index, value, tmp_path / f"{model}.onnx")
    commands = [
        ["eval", tmp_path / "kept.onnx", "--data", files / "x.npy"],
        ["compare", files / "kept.onnx", tmp_path / "kept.onnx"],
        train_command(files, tmp_path / "kept-injected.onnx", tmp_path / "out.onnx", "--steps", "1"),
        ["merge", tmp_path / "kept-injected.onnx", "-o", tmp_path / "out.onnx"],
    ]
    for command in commands:
        line = one_line(run(*command, "--quiet"), 1)
        assert f"'{name}'" in line and re.search(r"nan|inf", line), line
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("part", ["A", "B"])
def test_an_adapter_that_is_no_number(files, tmp_path, part):
    conv = "/layer2/layer2.0/conv1/Conv"
    save_with(onnx.load(files / "kept-injected.onnx"), f"{conv}/lora_{part}", 5, np.nan, tmp_path / "bad.onnx")
    for options in ([], ["--no-check"]):
        line = one_line(run("merge", tmp_path / "bad.onnx", "-o", tmp_path / "out.onnx", *options), 1)
        assert f"'{conv}" in line and re.search("nan", line, re.I), line
    line = one_line(run("eval", tmp_path / "bad.onnx", "--data", files / "x.npy"), 1)
    assert f"'{conv}/lora_{part}'" in line and "NaN" in line, line
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("image", [0, COUNT - 1])
def test_an_image_that_is_no_number(files, tmp_path, image, value):
    images = np.load(files / "x.npy")
    images[image, 1, 5, 7] = value
    np.save(tmp_path / "bad.npy", images)
    for command in (["eval", files / "kept.onnx", "--data", tmp_path / "bad.npy"],
                    ["compare", files / "kept.onnx", files / "kept.onnx", "--data", tmp_path / "bad.npy"],
                    ["train", files / "kept-injected.onnx", "-o", tmp_path / "out.onnx", "--data", tmp_path / "bad.npy",
                     "--labels", files / "y.npy", "--epochs", "1", "--batch", "8"]):
        line = one_line(run(*command, "--quiet"), 1)
        assert "bad.npy'" in line and re.search(rf"\bimage {image}\b", line), line
    assert not (tmp_path / "out.onnx").exists()


# ---- divergence

@pytest.mark.parametrize("model,options", [
    ("kept", ["--lr", "1e6"]), ("folded", ["--lr", "1e6"]), ("train", ["--lr", "1e6"]),
    ("folded", ["--lr", "1e6", "--clip-norm", "0", "--momentum", "0"]),
    ("folded", ["--lr", "1e6", "--optimizer", "adamw"])], ids=lambda value: value if isinstance(value, str) else None)
def test_divergence_keeps_the_last_good_values(files, tmp_path, model, options):
    output, injected = tmp_path / "out.onnx", files / f"{model}-injected.onnx"
    options = ["--schedule", "constant", "--quiet", *options]
    result = run(*train_command(files, injected, output, "--steps", "60", *options))
    line = one_line(result, 1)
    match = re.search(r"step (\d+): .*'(.+?)'.*last good values \(after step (\d+)\)", line)
    assert match, line
    names = {node.name for node in onnx.load(output).graph.node} | set(initializers(onnx.load(output)))
    assert match[2] in names, f"no layer or tensor of this name: {line}"
    step = int(match[1])
    assert int(match[3]) == step - 1 >= 1
    onnx.checker.check_model(str(output), full_check=True)
    for name, tensor in initializers(onnx.load(output)).items():
        assert np.isfinite(numpy_helper.to_array(tensor)).all(), name
    # They are the values of a run that stops in time, to the byte.
    good(*train_command(files, injected, tmp_path / "same.onnx", "--steps", step - 1, *options))
    assert output.read_bytes() == (tmp_path / "same.onnx").read_bytes()


def test_divergence_in_the_first_step_writes_nothing(files, tmp_path):
    np.save(tmp_path / "huge.npy", np.sign(np.load(files / "x.npy")) * np.float32(3e38))
    result = run("train", files / "folded-injected.onnx", "-o", tmp_path / "out.onnx", "--data", tmp_path / "huge.npy",
                 "--labels", files / "y.npy", "--batch", "8", "--quiet")
    line = one_line(result, 1)
    assert "'/conv1/Conv'" in line, line
    assert [path.name for path in tmp_path.iterdir()] == ["huge.npy"]


# ---- interruption

@pytest.mark.parametrize("model", ["folded", "train"])
def test_interrupt_writes_a_model_that_others_load(files, tmp_path, model):
    output, log = tmp_path / "out.onnx", tmp_path / "log"
    command = train_command(files, files / f"{model}-injected.onnx", output, "--epochs", "900000", "--log", log)
    process = subprocess.Popen([PROGRAM, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while time.monotonic() < end and len(lines_of(log, "step")) < 3:
        time.sleep(0.02)
    assert not output.exists(), "nothing is written before the end"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and stdout == ""
    steps = len(lines_of(log, "step"))
    assert steps >= 3 and f"interrupted after step {steps} of 2700000" in stderr.splitlines()[-1]
    assert f"'{output}'" in stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out.onnx"]

    onnx.checker.check_model(str(output), full_check=True)
    ours = our_outputs(output, files / "x.npy", tmp_path)
    assert relative_error(ours, onnxruntime_outputs(output, np.load(files / "x.npy"))) <= 1e-4
    assert relative_error(ours, our_outputs(files / f"{model}-injected.onnx", files / "x.npy", tmp_path)) > 1e-3
    good("merge", output, "-o", tmp_path / "merged.onnx", "--random", "8")
