# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What is said of memory before a run, beside what the process then takes (VmHWM)."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from program import PROGRAM, SANITIZED, run
from training_log import lines_of, losses_of

FASHION_MODEL = Path(__file__).resolve().parents[2] / "models" / "resnet14-fashion.onnx"
IMAGES = 32
# Of the real peak. What no formula knows: how the heap cuts its memory, and how many pages of the program are touched;
# half a megabyte of seven for the smallest network, and within 3 % for the others when it was measured.
TOLERANCE = 0.1
# What a process takes before it reads a model is 4 MB, more or less by as much as this: how many pages of the program and
# its libraries count depends on what the system has in its cache. It matters beside budgets below 10 MB alone.
PROCESS_BYTES = 1e6

pytestmark = pytest.mark.skipif(SANITIZED, reason="the address checker's memory counts too")

# Of each network: how it is made, the side of its images and their channels.
NETWORKS = {
    "resnet8": (dict(depth=8, width=0.5, input_size=(16, 16)), 16, 3),
    "resnet20": (dict(depth=20, input_size=(32, 32), bn="folded"), 32, 3),
    "resnet18": (dict(depth=18, input_size=(32, 32), bn="folded"), 32, 3),
    "narrow-resnet50": (dict(depth=50, form="imagenet", width=0.25, classes=10, input_size=(64, 64)), 64, 3),
    "resnet14-fashion": (None, 28, 1),
    "resnet20-bn": (dict(depth=20, input_size=(32, 32)), 32, 3), # with BatchNorm trained
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(1)
    np.save(folder / "y.npy", random.integers(0, 10, IMAGES))
    for name, (network, side, channels) in NETWORKS.items():
        plain = FASHION_MODEL
        if network:
            plain = folder / f"{name}-plain.onnx"
            onnx.save(make_resnet(**network), plain)
        np.save(folder / f"{name}.npy", random.integers(0, 256, (IMAGES, side, side, channels), dtype=np.uint8))
        for suffix, options in ("", []), ("-alone", ["--freeze-a"]):
            options += ["--bn", "train"] if name.endswith("-bn") else []
            result = run("inject", plain, "-o", folder / f"{name}{suffix}.onnx", "-q", *options)
            assert result.returncode == 0, result.stderr
    return folder


def train_arguments(files, tmp_path, model, batch, options):
    network = model.removesuffix("-alone")
    return ["train", files / f"{model}.onnx", "-o", tmp_path / "o.onnx", "--data", files / f"{network}.npy", "--labels",
            files / "y.npy", "--batch", batch, "--log", tmp_path / "log", "--mean", "0.5", "--std", "0.25",
            *options]


def peak_of_training(*arguments):
    """VmHWM of a run that is killed after its second step."""
    files, tmp_path = arguments[:2]
    command = [PROGRAM, *map(str, train_arguments(*arguments)), "--epochs", "1000000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.time() + 120
    while len(losses_of(tmp_path / "log")) < 2:
        assert time.time() < end and process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    with open(f"/proc/{process.pid}/status") as status:
        peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
    process.kill()
    process.communicate()
    return peak


@pytest.mark.parametrize("model, batch, threads, form", [
    ("resnet8", 16, 1, "auto"),
    ("resnet8", 16, 2, "branch"),
    ("resnet14-fashion", 32, 2, "auto"),
    ("resnet14-fashion-alone", 4, 1, "auto"),
    ("resnet20", 1, 1, "branch"),
    ("resnet20", 32, 2, "definition"),
    ("resnet20-alone", 32, 1, "auto"),
    ("resnet18", 2, 1, "definition"),
    ("resnet18-alone", 8, 2, "branch"),
    ("narrow-resnet50", 16, 2, "auto"),
    ("narrow-resnet50-alone", 2, 1, "branch"),
])
def test_inspect_predicts_the_peak(files, tmp_path, model, batch, threads, form):
    options = ["--threads", threads, "--form-policy", form]
    found = run("inspect", files / f"{model}.onnx", "--json", "--batch", batch, *options)
    predicted = json.loads(found.stdout)["training_peak_bytes"]
    peak = peak_of_training(files, tmp_path, model, batch, options)
    assert predicted == pytest.approx(peak, rel=TOLERANCE, abs=PROCESS_BYTES)


def test_bench_predicts_the_peak(files):
    found = run("bench", files / "resnet20.onnx", "--steps", 1, "--warm-up", 1, "--threads", 1, "--json")
    memory = json.loads(found.stdout)["memory_bytes"]
    assert memory["resident_predicted"] == pytest.approx(memory["resident_peak"], rel=TOLERANCE, abs=PROCESS_BYTES)


# ---- budgets

def smallest_budget(files, model, batch):
    return json.loads(run("inspect", files / f"{model}.onnx", "--json", "--batch", batch).stdout)["smallest_memory_budget"]


# Of the way from the smallest budget to the peak without one.
@pytest.mark.parametrize("part", [0, 0.3, 0.8])
@pytest.mark.parametrize("model", ["resnet20", "resnet18", "resnet18-alone", "narrow-resnet50", "resnet14-fashion",
                                   "resnet20-bn"])
def test_budget_is_kept(files, tmp_path, model, part):
    inspected = json.loads(run("inspect", files / f"{model}.onnx", "--json", "--threads", 1).stdout)
    least, most = inspected["smallest_memory_budget"], inspected["training_peak_bytes"]
    budget = int(least + part * (most - least)) + 100000 + os.stat(files / f"{model.removesuffix('-alone')}.npy").st_size
    options = ["--threads", 1, "--memory-budget", budget]
    peak = peak_of_training(files, tmp_path, model, 32, options)
    assert peak < max((1 + TOLERANCE) * budget, budget + PROCESS_BYTES)
    record = lines_of(tmp_path / "log", "start")[0]["memory_budget"]
    assert record["bytes"] == budget and record["predicted_peak_bytes"] <= budget
    assert record["predicted_peak_bytes"] == pytest.approx(peak, rel=TOLERANCE, abs=PROCESS_BYTES)
    if model == "resnet20-bn":  # statistics of the whole batch: what is left is to compute again
        assert record["micro_batch"] == 32 and (record["recompute"] > 1 or part > 0)


def test_small_budget_is_refused_with_one_that_does(files, tmp_path):
    arguments = train_arguments(files, tmp_path, "resnet20", 32, ["--steps", 2, "--threads", 1])
    result = run(*arguments, "--memory-budget", "5M")
    assert result.returncode == 2
    said = re.search(r"a memory budget of 5.0 MB is too small: the smallest that would do is (\d+\.\d) MB", result.stderr)
    result = run(*arguments, "--memory-budget", said[1] + "M")
    assert result.returncode == 0, result.stderr
    assert re.search(r"memory budget: micro-batches of 1, .*; [\d.]+ MB predicted of [\d.]+ MB", result.stderr)


# Of the loss: six steps of float32 sums in another order and by other algorithms (2e-6 was measured).
LOSS_TOLERANCE = 2e-5


def test_budget_trains_the_same(files, tmp_path):
    budget = smallest_budget(files, "resnet20", 32) + 200000
    found = {}
    for name, options in ("none", []), ("one", ["--memory-budget", budget]), ("two", ["--memory-budget", budget]):
        threads = 2 if name == "two" else 1
        folder = tmp_path / name
        folder.mkdir()
        arguments = train_arguments(files, folder, "resnet20", 32, ["--steps", 6, "--threads", threads, *options])
        assert run(*arguments).returncode == 0
        found[name] = losses_of(folder / "log"), (folder / "o.onnx").read_bytes()
    assert found["one"] == found["two"]
    assert found["one"][0] == pytest.approx(found["none"][0], rel=LOSS_TOLERANCE)


@pytest.mark.parametrize("size, bytes_", [("150M", 150e6), ("150MB", 150e6), ("0.5G", 5e8), ("200000K", 2e8),
                                          ("140MiB", 140 * 2 ** 20), ("1Gi", 2 ** 30), ("150000000", 150e6)])
def test_sizes(files, size, bytes_):
    found = run("bench", files / "resnet8.onnx", "--memory-budget", size, "--steps", 1, "--threads", 1, "--json")
    assert json.loads(found.stdout)["memory_budget"] == bytes_


@pytest.mark.parametrize("size", ["", "M", "-1M", "0", "150Q", "150MiBs", "1e3", "0x10", "inf", "1.5.2M"])
def test_bad_sizes(files, size):
    result = run("bench", files / "resnet8.onnx", "--memory-budget", size)
    assert result.returncode == 2 and "--memory-budget" in result.stderr


@pytest.mark.parametrize("size, said", [("150", "is 150 bytes; did you mean 150M?"), ("1", "is 1 byte; did you mean 1M?"),
                                        ("999999", "did you mean 999999M?"), ("1.5", "did you mean 1.5M?")])
def test_a_size_without_its_letter(files, size, said):
    result = run("bench", files / "resnet8.onnx", "--memory-budget", size)
    assert result.returncode == 2 and f"--memory-budget {size} " in result.stderr and said in result.stderr
    for other in "150K", "1000000":
        assert "did you mean" not in run("bench", files / "resnet8.onnx", "--memory-budget", other).stderr
