# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The files that a run works on, the same numbers for every system.

A network comes from models/make_resnet.py with random weights (BatchNorm folded); lorac-onnx injects it; what it wrote
is what every peer starts from. In a folder of its own:
    plain.onnx, adapters.onnx (A and B), alone.onnx (B alone, where inject knows it), all.onnx (all weights)
    weights.npz   by ONNX name; "A:<weight>" and "B:<weight>" of each adapter; "scale"
    batch.npz, x.npy, y.npy   one batch of normal random images with random labels
    merged.onnx, merged.mnn   after three steps of training, for inference
    training-adapters/, training-all/   artifacts of ONNX Runtime's training
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models"))

from make_resnet import make_resnet  # noqa: E402

BUILD = ROOT / "build" / "bench-lorac"
LORAC = BUILD / "tools" / "lorac-onnx"
RANK, ALPHA = 4, 8
# Of what is trained: large enough to see a wrong gradient in the losses, too small for rounding to grow in three steps.
LR = {"adapters": 1e-3, "all": 1e-4}


def run(*command):
    """Runs a program that must succeed; returns what it printed."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def python_of(peer):
    return ROOT / "build" / f"bench-{peer}" / "bin" / "python"


def build():
    """Which lorac-onnx it is."""
    return hashlib.sha256(LORAC.read_bytes()).hexdigest() if LORAC.exists() else ""


def library_bytes():
    """Of the runtime library, stripped; XNNPACK is a library of its own."""
    library = BUILD / "runtime" / "liblorac.so"
    if not library.exists():
        return 0
    with tempfile.NamedTemporaryFile() as stripped:
        run("strip", "-o", stripped.name, library)
        return os.stat(stripped.name).st_size


def knows_freeze_a():
    return "--freeze-a" in run(LORAC, "inject", "-h")


def save_weights(path, out):
    model = onnx.load(path)
    meta = {entry.key: entry.value for entry in model.metadata_props}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = {name: array for name, array in arrays.items() if "lora_" not in name}
    for adapter in json.loads(meta["lorac.adapters"]):
        weights["A:" + adapter["weight"]] = arrays[adapter["A"]]
        weights["B:" + adapter["weight"]] = arrays[adapter["B"]]
    np.savez(out, scale=np.float32(ALPHA / RANK), **weights)


def save_batch(folder, network, batch):
    """The images and labels, under the names of this batch."""
    random = np.random.default_rng(7)
    shape = onnx.load(folder / "plain.onnx", load_external_data=False).graph.input[0].type.tensor_type.shape.dim
    x = random.standard_normal((batch, *(d.dim_value for d in shape[1:])), dtype=np.float32)
    y = random.integers(0, network.get("classes", 10), batch)
    np.savez(folder / f"batch{batch}.npz", x=x, y=y)
    np.save(folder / f"x{batch}.npy", x)
    np.save(folder / f"y{batch}.npy", y)


def train(folder, what, batch, steps):
    """Trains adapters.onnx or all.onnx on one batch over and over with plain SGD and momentum; returns the losses."""
    log = folder / "train.log"
    run(LORAC, "train", folder / f"{what}.onnx", "-o", folder / "trained.onnx", "--data", folder / f"x{batch}.npy",
        "--labels", folder / f"y{batch}.npy", "--batch", batch, "--steps", steps, "--no-shuffle", "--schedule",
        "constant", "--lr", LR[what], "--weight-decay", 0, "--clip-norm", 0, "--log", log, "--threads", 1, "-q")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["loss"] for line in lines if line["event"] == "step"]


def make_network(folder, network, setting):
    """plain.onnx, what inject makes of it, and the weights for PyTorch."""
    os.makedirs(folder, exist_ok=True)
    onnx.save(make_resnet(bn="folded", **network), folder / "plain.onnx")
    inject = [LORAC, "inject", folder / "plain.onnx", "-q", "-o"]
    adapters = ["--rank", RANK, "--alpha", ALPHA, "--rank-setting", setting, "--no-train-last"]
    run(*inject, folder / "adapters.onnx", *adapters)
    run(*inject, folder / "all.onnx", "--train-all")
    if knows_freeze_a():
        run(*inject, folder / "alone.onnx", *adapters, "--freeze-a")
    save_weights(folder / "adapters.onnx", folder / "weights.npz")


def make_training_artifacts(folder):
    for model, what in (("adapters", "adapters"), ("plain", "all")):
        run(python_of("training"), ROOT / "tests" / "bench" / "peer_training.py", "make", folder / f"{model}.onnx",
            folder / f"training-{what}", what)


def make_merged(folder, batch):
    train(folder, "adapters", batch, 3)
    run(LORAC, "merge", folder / "trained.onnx", "-o", folder / "merged.onnx", "--threads", 1, "-q")
    run(python_of("mnn").parent / "mnnconvert", "-f", "ONNX", "--modelFile", folder / "merged.onnx", "--MNNModel",
        folder / "merged.mnn", "--bizCode", "bench")
