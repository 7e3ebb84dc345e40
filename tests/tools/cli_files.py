# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The models and arrays that the tests of the program share, good ones and bad ones."""

import numpy as np
import onnx
from make_resnet import make_resnet
from onnx import TensorProto, helper
from program import good

COUNT, CLASSES, SIDE = 48, 10, 16


def save_files(folder):
    random = np.random.default_rng(1)
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), bn="folded"), folder / "folded.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), classes=7), folder / "seven.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(20, SIDE)), folder / "taller.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), seed=5), folder / "other.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), softmax=True), folder / "softmax.onnx")
    images = random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, COUNT)
    np.save(folder / "x.npy", images)
    np.save(folder / "f.npy", random.standard_normal((COUNT, 3, SIDE, SIDE)).astype(np.float32))
    np.save(folder / "y.npy", labels)
    save_bad_files(folder, images, labels)
    good("inject", folder / "plain.onnx", "-o", folder / "injected.onnx", "--mean", "0.5", "--std", "0.25")
    good("inject", folder / "plain.onnx", "-o", folder / "silent.onnx")
    for path in folder.iterdir():
        path.chmod(0o444)


def save_bad_files(folder, images, labels):
    plain = (folder / "plain.onnx").read_bytes()
    (folder / "empty").write_bytes(b"")
    (folder / "cut.onnx").write_bytes(plain[:len(plain) // 2])
    (folder / "text.onnx").write_text("this is no model\n" * 20)
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:2000])
    (folder / "text.npy").write_text("this is no array\n")
    np.save(folder / "wide.npy", np.zeros((COUNT, SIDE, SIDE + 4, 3), np.uint8))
    np.save(folder / "first.npy", images.transpose(0, 3, 1, 2).copy())
    np.save(folder / "double.npy", images.astype(np.float64))
    np.save(folder / "none.npy", images[:0])
    np.save(folder / "fewer.npy", labels[:-1])
    np.save(folder / "float_y.npy", labels.astype(np.float32))
    np.save(folder / "matrix_y.npy", np.eye(CLASSES)[labels].astype(np.int64))
    np.save(folder / "above_y.npy", np.where(np.arange(COUNT) == 7, CLASSES, labels))
    np.save(folder / "below_y.npy", np.where(np.arange(COUNT) == 3, -1, labels))
    bad = np.zeros((COUNT, 3, SIDE, SIDE), np.float32)
    bad[5, 1, 2, 3] = np.nan
    np.save(folder / "nan.npy", bad)
    sine = helper.make_node("Sin", ["input"], ["s"], name="wave")
    flat = helper.make_node("Flatten", ["s"], ["out"], name="flat")
    graph = helper.make_graph([sine, flat], "g",
                              [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 3 * SIDE * SIDE])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "sine.onnx")
