# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Images: the same as arrays and as a folder of files, models for them, and a short training of one."""

import numpy as np
import onnx
from make_resnet import make_resnet
from PIL import Image
from program import good

NAMES = ["bird", "car", "cat", "dog", "ship"]
COUNT, SIDE, BATCH = 60, 16, 8
# The images from files are those from memory, in each.
WAYS = [
    [],
    ["--cache-memory", "0"],
    ["--cache-memory", "0", "--loader-threads", "3"],
    ["--loader-threads", "4"],
    ["--micro-batch", "2", "--loader-threads", "2"],
]


def write_folder(folder, images, labels):
    """PNG files whose order by name is that of the arrays."""
    paths = []
    for i, (image, label) in enumerate(zip(images, labels)):
        path = folder / NAMES[label] / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        paths.append(path)
    return paths


def save_images(folder):
    """A model with names for its classes, and one without, are beside them."""
    random = np.random.default_rng(3)
    labels = np.sort(random.integers(0, len(NAMES), COUNT))
    images = random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    np.save(folder / "x.npy", images)
    np.save(folder / "y.npy", labels)
    write_folder(folder / "png", images, labels)
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), classes=len(NAMES)), folder / "plain.onnx")
    pixels = ["--mean", "0.5", "--std", "0.25"]
    good("inject", folder / "plain.onnx", "-o", folder / "injected.onnx", *pixels)
    good("inject", folder / "plain.onnx", "-o", folder / "named.onnx", "--class-names", folder / "names.txt", *pixels)
    return folder


def train(files, output, data, *options, model="named.onnx"):
    return good("train", files / model, "-o", output, "--data", data, "--epochs", "3", "--batch", BATCH, "--lr", "0.02",
                "--augment", "crop-flip", "--threads", "2", *options)
