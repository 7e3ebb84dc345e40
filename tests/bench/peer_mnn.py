# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""MNN's inference in float32. The request also has: model (.mnn), outputs (.npy, where the last outputs go)."""

import MNN
import MNN.expr
import MNN.nn
import numpy as np

import peer

asked = peer.request()
x, _ = peer.data(asked)
runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": asked["threads"]},))
network = MNN.nn.load_module_from_file(asked["model"], ["input"], ["logits"], runtime_manager=runtime)
outputs = None


def step():
    global outputs
    result = network.forward(MNN.expr.const(x, list(x.shape), MNN.expr.NCHW))
    outputs = np.array(result.read())


peer.measure(asked, step, {"MNN": MNN.version()})
np.save(asked["outputs"], outputs)
