# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the same file, to the byte, with any number of threads; and training changes only what it may."""

import json

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from support import good, initializers, metadata

COUNT, CLASSES = 20, 10
SIDES = {"cifar": 32, "imagenet": 32}
STATISTICS = (".running_mean", ".running_var")

# name: (depth, form, BatchNorm in the file, inject's options, is it in BatchNorm mode train)
NETWORKS = {
    "folded": (18, "cifar", "folded", ["--train-first"], False),
    "frozen": (18, "cifar", "kept", ["--rank-setting", "plain"], False),
    "train": (18, "cifar", "kept", ["--bn", "train", "--train-first"], True),
    "bottleneck": (50, "imagenet", "kept", ["--bn", "train", "--no-train-last"], True),
    "all-folded": (18, "cifar", "folded", ["--train-all"], False),
    "all-train": (18, "cifar", "kept", ["--train-all", "--bn", "train"], True),
}
OPTIMIZERS = {"sgd": ["--optimizer", "sgd", "--nesterov"], "adamw": ["--optimizer", "adamw"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(3)
    for form, side in SIDES.items():
        np.save(folder / f"{form}.npy", random.integers(0, 256, (COUNT, side, side, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", random.integers(0, CLASSES, COUNT))
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, data, tmp_path_factory):
    """(injected model, train command without its output, is BatchNorm trained)."""
    depth, form, bn, options, bn_train = NETWORKS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    size = (SIDES[form], SIDES[form])
    onnx.save(make_resnet(depth=depth, form=form, bn=bn, width=0.25, input_size=size, classes=CLASSES),
              folder / "plain.onnx")
    injected = folder / "injected.onnx"
    good("inject", folder / "plain.onnx", "-o", injected, "--mean", "0.5", "--std", "0.25", *options)
    # Three steps of eight, two in an epoch: the second one's order is in it too.
    train = ["train", injected, "--data", data / f"{form}.npy", "--labels", data / "labels.npy", "--steps", "3",
             "--batch", "8", "--lr", "0.01", "--augment", "crop-flip", "--quiet"]
    return injected, train, bn_train


def train_file(train, path, *options):
    good(*train, "-o", path, *options)
    return path.read_bytes()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_seed_same_file(network, optimizer, tmp_path):
    injected, train, _ = network
    train = [*train, *OPTIMIZERS[optimizer], "--seed", "5"]
    first = train_file(train, tmp_path / "first", "--threads", "1")
    assert first != injected.read_bytes()
    for threads in (1, 2, 3):
        assert train_file(train, tmp_path / "other", "--threads", threads) == first, f"{threads} threads"


def test_another_seed_another_file(network, tmp_path):
    _, train, _ = network
    files = {train_file(train, tmp_path / f"{seed}", "--seed", seed) for seed in (5, 6, 2 ** 64 - 1)}
    assert len(files) == 3
    without_augmentation = ["none" if argument == "crop-flip" else argument for argument in train]
    assert len({train_file(command, tmp_path / "o", "--seed", "5", *options)
                for command, options in ((train, []), (train, ["--no-shuffle"]), (without_augmentation, []))}) == 3


# ---- only what may change

def without_values(model, names):
    """The model's bytes with the elements of these initialisers taken out."""
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    return model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_trained_tensors_differ(network, optimizer, tmp_path):
    injected, train, bn_train = network
    train_file([*train, *OPTIMIZERS[optimizer]], tmp_path / "trained.onnx")
    before, after = onnx.load(injected), onnx.load(tmp_path / "trained.onnx")
    trainable = set(json.loads(metadata(before)["lorac.trainable"]))
    statistics = {name for name in initializers(before) if bn_train and name.endswith(STATISTICS)}
    assert bool(statistics) == bn_train
    old, new = initializers(before), initializers(after)
    changed = {name for name in old if old[name].SerializeToString() != new[name].SerializeToString()}
    assert changed == trainable | statistics, "all of them moved, and nothing else"
    assert without_values(before, changed) == without_values(after, changed)


@pytest.mark.parametrize("network", ["all-folded", "all-train"], indirect=True)
def test_what_train_all_trains(network):
    model = onnx.load(network[0])
    assert json.loads(metadata(model)["lorac.adapters"]) == []
    expected = {name for node in model.graph.node if node.op_type in ("Conv", "Gemm") for name in node.input[1:]}
    trainable = json.loads(metadata(model)["lorac.trainable"])
    assert set(trainable) == expected and len(trainable) == len(expected)


# ---- adapters start from the seed and their convolution's name alone

def test_excluding_a_layer_changes_no_other(tmp_path):
    onnx.save(make_resnet(depth=18, width=0.25), tmp_path / "plain.onnx")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "all.onnx", "--seed", "9")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "some.onnx", "--seed", "9", "--exclude",
         "^/layer1/layer1.0/conv1/Conv$")
    everywhere, some = (initializers(onnx.load(tmp_path / name)) for name in ("all.onnx", "some.onnx"))
    gone = {name for name in everywhere if name not in some}
    assert gone == {f"/layer1/layer1.0/conv1/Conv/lora_{part}" for part in ("A", "B", "shape", "scale")}
    assert all(some[name].SerializeToString() == everywhere[name].SerializeToString() for name in some)
    assert sum(name.endswith("/lora_A") for name in some) == 18


def test_another_seed_other_adapters(tmp_path):
    onnx.save(make_resnet(depth=18, width=0.25), tmp_path / "plain.onnx")
    for seed in (0, 1):
        good("inject", tmp_path / "plain.onnx", "-o", tmp_path / f"{seed}.onnx", "--seed", seed)
    first, second = (initializers(onnx.load(tmp_path / f"{seed}.onnx")) for seed in (0, 1))
    differ = {name for name in first if first[name].SerializeToString() != second[name].SerializeToString()}
    assert differ == {name for name in first if name.endswith("/lora_A")}
