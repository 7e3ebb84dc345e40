# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The whole path on ResNets of every depth, form and BatchNorm, against onnxruntime.

At a quarter of the width and on small images, to be quick. With LORAC_FULL_SIZE=1, which full_size.sh sets, at full
width and, in the ImageNet form, on 224x224 images.
"""

import json
import os
import re

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from support import good, measured, onnxruntime_outputs, our_outputs, random_images, relative_error

# Rounding grows with the depth: make_resnet.py's weights keep it at 1e-6 to 1e-5 of the largest logit.
OUTPUTS_RELATIVE = 1e-4

FULL_SIZE = os.environ.get("LORAC_FULL_SIZE") == "1"
WIDTH = 1.0 if FULL_SIZE else 0.25
CLASSES = {"cifar": 10, "imagenet": 1000 if FULL_SIZE else 50}
SIDE = {"cifar": 32, "imagenet": 224 if FULL_SIZE else 64}
IMAGES, BATCH = 8, 4
TITLE = f"ResNets, width {WIDTH:g}, batch {BATCH}"

# (depth, form, BatchNorm in the file, mode of training, side of the images)
CASES = [(depth, form, bn, mode, SIDE[form]) for depth in (18, 34, 50, 101) for form in ("cifar", "imagenet")
         for bn, mode in (("folded", "frozen"), ("kept", "frozen"), ("kept", "train"))]
if not FULL_SIZE:
    CASES += [(18, "imagenet", "kept", "frozen", 96), (50, "imagenet", "folded", "frozen", 224)]


def name_of(case):
    depth, form, bn, mode, side = case
    return f"r{depth}-{form}-{bn}-{mode}-{side}"


class Network:
    """The files of one case, and the options that go with them."""

    def __init__(self, case, folder):
        self.name = name_of(case)
        self.depth, self.form, self.bn, self.mode, side = case
        self.folder = folder
        # Height and width stay free in the file: --input-size gives them.
        self.size = ["--input-size", f"{side}x{side}"]
        self.images = random_images(IMAGES, (3, side, side))
        np.save(folder / "images.npy", self.images)
        np.save(folder / "labels.npy", np.random.default_rng(5).integers(0, CLASSES[self.form], IMAGES))

    def path(self, step):
        return self.folder / f"{step}.onnx"

    def ours(self, step):
        return our_outputs(self.path(step), self.folder / "images.npy", self.folder, *self.size)

    def theirs(self, step):
        return onnxruntime_outputs(self.path(step), self.images)


@pytest.fixture(scope="module", params=CASES, ids=name_of)
def network(request, tmp_path_factory):
    net = Network(request.param, tmp_path_factory.mktemp("net"))
    onnx.save(make_resnet(depth=net.depth, form=net.form, bn=net.bn, width=WIDTH, classes=CLASSES[net.form],
                          input_size=("height", "width")), net.path("plain"))
    yield net
    for path in net.folder.glob("*.onnx"):
        path.unlink()  # up to 200 MB each


def error_in_merge(text, data):
    """The relative error in merge's or compare's table, in the row of [data]."""
    row = re.search(rf"^(?:.*/)?{re.escape(data)} +\d+ +\S+ +(\S+) ", text, re.M)
    assert row, text
    return float(row[1])


def check(error):
    assert error <= OUTPUTS_RELATIVE
    return f"{error:.1e}"


def test_chain(network, figures):
    """eval, inject, two steps of training, merge, compare; every outcome against onnxruntime."""
    folder, size = network.folder, network.size
    plain = relative_error(network.ours("plain"), network.theirs("plain"))
    assert plain <= OUTPUTS_RELATIVE

    good("inject", network.path("plain"), "-o", network.path("injected"), "--train-first", "--bn", network.mode,
         "--rank-setting", "kernel" if network.depth < 50 else "plain")
    inspect = good("inspect", network.path("injected"), "--json", "--batch", BATCH, *size)
    seconds, peak = measured("train", network.path("injected"), "-o", network.path("trained"), "--data",
                             folder / "images.npy", "--labels", folder / "labels.npy", "--steps", "2", "--batch", BATCH,
                             "--lr", "0.02", *size)
    images = ["--data", folder / "images.npy", "--random", "8", *size]
    merge = good("merge", network.path("trained"), "-o", network.path("merged"), *images)
    compare = good("compare", network.path("trained"), network.path("merged"), *images)

    before, trained, merged = (network.ours(step) for step in ("injected", "trained", "merged"))
    moved = relative_error(trained, before)
    assert moved > 10 * OUTPUTS_RELATIVE, "training must do more than the tolerance hides"
    engine = network.theirs("merged")
    cells = {
        "plain": check(plain),
        "trained": check(relative_error(trained, network.theirs("trained"))),
        "merged": check(relative_error(merged, engine)),
        "merged there, trained here": check(relative_error(engine, trained)),
        "merge": check(error_in_merge(merge.stdout, "images.npy")),
        "compare": check(error_in_merge(compare.stdout, "images.npy")),
    }
    assert (trained.argmax(1) == engine.argmax(1)).all()
    for name in ("plain", "trained", "merged", "merged there, trained here"):
        figures.largest(f"relative error, {name}", float(cells[name]))
    figures.row(TITLE, network=network.name, **cells, moved=f"{moved:.2g}",
                memory=f"{peak / 1e6:.0f} MB",
                predicted=f"{json.loads(inspect.stdout)['training_peak_bytes'] / 1e6:.0f} MB", time=f"{seconds:.1f} s")
