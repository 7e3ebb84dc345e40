# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Trainable parameters as the method's table has them: every cell, by inspect, on full-width networks.

The table counts the adapters, the first weight and the last weight, and leaves the last layer's bias out.
"""

import json

import onnx
import pytest
from make_resnet import make_resnet
from onnx import numpy_helper
from support import good

CLASSES = 10
RANKS = (1, 4, 16)
# depth: (all weights in millions, kernel r = 1 / 4 / 16, plain r = 1 / 4 / 16)
TABLE = {
    18: ("11.17", (73280, 272576, 1069760), (29888, 99008, 375488)),
    34: ("21.28", (140096, 539840, 2138816), (52160, 188096, 731840)),
    50: ("23.52", (131648, 459968, 1773248), (86336, 278720, 1048256)),
    101: ("42.51", (253504, 947392, 3722944), (155968, 557248, 2162368)),
}


@pytest.fixture(scope="module", params=TABLE, ids=lambda depth: f"r{depth}")
def network(request, tmp_path_factory):
    """(depth, file). The largest file has 170 MB: none stays behind."""
    path = tmp_path_factory.mktemp("table") / "net.onnx"
    onnx.save(make_resnet(depth=request.param, classes=CLASSES), path)
    yield request.param, path
    path.unlink()


def inspect(path, *options):
    return json.loads(good("inspect", path, "--json", "--train-first", *options).stdout)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("setting", ["kernel", "plain"])
def test_trainable(network, setting, rank):
    depth, path = network
    trainable = inspect(path, "--rank", rank, "--rank-setting", setting)["trainable"]
    expected = TABLE[depth][1 if setting == "kernel" else 2][RANKS.index(rank)]
    assert trainable["adapters"] + trainable["first_weight"] + trainable["last_weight"] == expected
    assert trainable["first_weight"] == 1728 and trainable["last_bias"] == CLASSES and trainable["others"] == 0
    assert trainable["total"] == expected + CLASSES


def test_all_weights(network):
    """The table's M is what is learnt in pretraining: all but BatchNorm's statistics."""
    depth, path = network
    tensors = onnx.load(path).graph.initializer
    statistics = sum(numpy_helper.to_array(t).size for t in tensors if ".running_" in t.name)
    data = inspect(path)
    assert statistics > 0 and f"{(data['parameters'] - statistics) / 1e6:.2f}" == TABLE[depth][0]
    assert data["trainable"]["percent"] == pytest.approx(100 * data["trainable"]["total"] / data["parameters"])
