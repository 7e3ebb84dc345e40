# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The bench command: that its parts add up, that it runs what it says, and its trace. No time is judged."""

import json

import onnx
import pytest
from make_resnet import make_resnet
from program import run

SIDE, STEPS = 16, 3


def bench(*arguments):
    # One thread, where the test is not about threads: two wait for one another on a busy machine.
    threads = [] if "--threads" in arguments else ["--threads", 1]
    result = run("bench", *arguments, *threads, "--json", "--steps", STEPS, "--warm-up", 1)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), softmax=True), folder / "plain.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=("H", "W")), folder / "free.onnx")
    assert run("inject", folder / "plain.onnx", "-o", folder / "injected.onnx", "-q").returncode == 0
    return folder


# The images a second, the multiply-adds and the layers of each way to run the small network.
@pytest.mark.parametrize("model, options, training", [
    ("injected.onnx", [], True),
    ("injected.onnx", ["--optimizer", "adamw"], True),
    ("injected.onnx", ["--inference"], False),
    ("plain.onnx", [], False),
    ("plain.onnx", ["--inference", "--threads", "2"], False),
    ("free.onnx", ["--input-size", f"{SIDE}x{SIDE}"], False)])
def test_what_is_run(files, model, options, training):
    found = bench(files / model, "--batch", 4, *options)
    assert found["training"] is training and found["batch"] == 4
    assert found["optimizer"] == (("adamw" if options else "sgd") if training else None)
    assert found["threads"] == (2 if "2" in options else 1)
    operators = {row["operator"]: row for row in found["operators"]}
    assert operators["Conv"]["layers"] == 9
    assert ("Softmax" in operators) is (not training and model != "free.onnx")
    assert (operators["Conv"]["seconds"]["backward"] > 0) is training
    assert (found["memory_bytes"]["optimizer"] > 0) is training


def inspected(path):
    return json.loads(run("inspect", path, "--json", "--batch", 4).stdout)


def test_multiply_adds_are_those_of_inspect(files):
    assert bench(files / "plain.onnx", "--batch", 4)["multiply_adds"] == \
        4 * inspected(files / "plain.onnx")["multiply_adds_per_image"]
    # inspect also counts the three products of the adapters, which do not depend on the batch.
    counted = bench(files / "injected.onnx", "--batch", 4, "--form-policy", "definition")["multiply_adds"]
    rows = inspected(files / "injected.onnx")["convolutions"]
    products = sum(3 * row["weight"][0] * row["weight"][2] * row["inner"] * row["weight"][1] * row["weight"][3]
                   for row in rows if row["adapted"])
    assert products > 0
    assert counted + products == inspected(files / "injected.onnx")["multiply_adds_per_training_step"]


@pytest.mark.parametrize("model", ["injected.onnx", "plain.onnx"])
def test_parts_add_up(files, model):
    found = bench(files / model, "--batch", 4)
    steps, parts = found["step_seconds"], found["part_seconds"]
    assert len(steps["all"]) == STEPS and found["warm_up"] == 1
    assert steps["min"] <= steps["median"] <= steps["max"]
    assert steps["min"] == min(steps["all"]) and steps["max"] == max(steps["all"])
    assert sum(parts.values()) == pytest.approx(steps["mean"], rel=1e-6)
    assert parts["rest"] >= 0
    for name in ("refresh", "forward", "backward"):
        for rows in ("layers", "operators"):
            assert sum(row["seconds"][name] for row in found[rows]) == pytest.approx(parts[name], rel=1e-6, abs=1e-12)
    for way in ("forward", "backward"):
        layers, operators = (sum(row["multiply_adds"][way] for row in found[rows]) for rows in ("layers", "operators"))
        assert layers == operators
    assert found["images_per_second"] == pytest.approx(4 / steps["median"], rel=1e-6)
    assert found["flops"] == pytest.approx(2 * found["multiply_adds"] / steps["median"], rel=1e-6)
    assert found["peak_flops"] > 0
    start = found["start_seconds"]
    assert sum(start[name] for name in ("open", "lower", "plan", "allocate", "pack")) <= start["ready"]


def test_memory(files):
    small, large = (bench(files / "injected.onnx", "--batch", n, "--form-policy", "definition")["memory_bytes"] for n in (1, 64))
    assert small["model_file"] == (files / "injected.onnx").stat().st_size
    assert large["planned"] > 32 * small["planned"] and large["images"] == 64 * small["images"]
    assert small["parameters"] == large["parameters"] and small["optimizer"] == large["optimizer"]
    for found in (small, large):
        assert 0 < found["resident_ready"] <= found["resident_peak"]
        assert found["resident_peak"] > found["planned"]


# The same step in parts: as many images and multiply-adds, activations of a part.
def test_micro_batches(files):
    whole, parts = (bench(files / "injected.onnx", "--batch", 32, "--form-policy", "definition", *options)
                    for options in ([], ["--micro-batch", 8]))
    assert (whole["batch"], whole["micro_batch"]) == (32, 32) and (parts["batch"], parts["micro_batch"]) == (32, 8)
    assert parts["multiply_adds"] == whole["multiply_adds"]
    assert parts["memory_bytes"]["images"] == whole["memory_bytes"]["images"]
    assert parts["memory_bytes"]["planned"] < whole["memory_bytes"]["planned"] / 3
    result = run("bench", files / "plain.onnx", "--micro-batch", 8)
    assert result.returncode == 2 and "--micro-batch is for training" in result.stderr


def test_algorithms_are_named(files):
    rows = {row["name"]: row for row in bench(files / "injected.onnx")["layers"]}
    first, later = rows["/conv1/Conv"], rows["/layer1/layer1.0/conv2/Conv"]
    assert first["algorithm"] and first["gradient_algorithm"] is None
    assert later["algorithm"] and later["gradient_algorithm"]
    assert rows["/relu/Relu"]["algorithm"] is None


def test_trace(files, tmp_path):
    found = bench(files / "injected.onnx", "--batch", 4, "--trace", tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert all(event["tid"] == spans[0]["tid"] and event["ts"] >= 0 and event["dur"] >= 0 for event in spans)
    runs = [event for event in spans if event["cat"] == "run"]
    steps = [f"step {i + 1}" for i in range(STEPS)]
    assert [event["name"] for event in runs] == ["open", "prepare", "warm-up 1"] + steps
    assert runs[-1]["dur"] == pytest.approx(1e6 * found["step_seconds"]["all"][-1], rel=1e-3)
    # Each piece lies in the run that it belongs to, and the pieces do not overlap.
    pieces = sorted((event for event in spans if event["cat"] != "run"), key=lambda event: event["ts"])
    for before, after in zip(pieces, pieces[1:]):
        assert before["ts"] + before["dur"] <= after["ts"] + 1e-3
    for piece in pieces:
        assert sum(run["ts"] - 1e-3 <= piece["ts"] and piece["ts"] + piece["dur"] <= run["ts"] + run["dur"] + 1e-3
                   for run in runs) == 1
    forward = [piece for piece in pieces if piece["cat"] == "forward"]
    assert len(forward) == (STEPS + 1) * len(found["layers"])


def test_seconds_end_it(files):
    found = json.loads(run("bench", files / "plain.onnx", "--json", "--threads", 1, "--steps", 1000000,
                           "--seconds", "0.2").stdout)
    assert 1 <= len(found["step_seconds"]["all"]) < 1000000


def test_text(files):
    shown = run("bench", files / "injected.onnx", "--batch", 2, "--steps", 2, "--threads", 1)
    assert shown.returncode == 0 and shown.stderr == ""
    for text in ("training step, batch 2", "images/s", "GFLOP/s", "peak resident", "start: pack", "(update)",
                 "/layer1/layer1.0/conv1/Conv", "deconvolution"):
        assert text in shown.stdout


@pytest.mark.parametrize("code, text, arguments", [
    (1, "no.onnx", ["no.onnx"]),
    (2, "--optimizer is for training", ["plain.onnx", "--optimizer", "sgd"]),
    (2, "--recompute is for training", ["plain.onnx", "--recompute", "2"]),
    (2, "--optimizer is for training", ["injected.onnx", "--optimizer", "sgd", "--inference"]),
    (2, "--recompute is for training", ["injected.onnx", "--recompute", "2", "--inference"]),
    (2, "give --input-size", ["free.onnx"]),
    (2, "the model takes 16x16", ["plain.onnx", "--input-size", "17x16"]),
    (2, "also an input", ["plain.onnx", "--trace", "plain.onnx"]),
    (1, "cannot use the folder", ["plain.onnx", "--trace", "none/trace.json"]),
    (2, "--steps", ["plain.onnx", "--steps", "0"]),
    (2, "'x'", ["plain.onnx", "--output-name", "x"])])
def test_refusals(files, code, text, arguments):
    arguments = [str(files / word) if word.endswith((".onnx", ".json")) else word for word in arguments]
    result = run("bench", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1 and text in result.stderr
