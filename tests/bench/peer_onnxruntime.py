# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's inference. The request also has: model, outputs (.npy, where the last outputs go)."""

import numpy as np
import onnxruntime

import peer

asked = peer.request()
x, _ = peer.data(asked)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = asked["threads"]
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(asked["model"], options, providers=["CPUExecutionProvider"])
outputs = None


def step():
    global outputs
    outputs = session.run(None, {"input": x})[0]


peer.measure(asked, step, {"onnxruntime": onnxruntime.__version__})
np.save(asked["outputs"], outputs)
