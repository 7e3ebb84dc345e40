# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's on-device training: the file that inject wrote, with its adapters as the trainable initialisers.

peer_training.py make MODEL.onnx FOLDER all|adapters: the training artifacts, made beforehand as on-device training
wants it. Else the request also has: artifacts, lr. Its SGD has no momentum.
"""

import json
import os
import sys
import types

import onnxruntime

# The package's __init__ imports torch, which neither the artifacts nor the training API need: 5 GB of installation and
# a third of the process's memory that would be held against it.
package = types.ModuleType("onnxruntime.training")
package.__path__ = [os.path.join(os.path.dirname(onnxruntime.__file__), "training")]
sys.modules["onnxruntime.training"] = package


def make(path, folder, what):
    import onnx
    from onnxruntime.training import artifacts
    model = onnx.load(path)
    floats = [tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    meta = {entry.key: entry.value for entry in model.metadata_props}
    trained = floats if what == "all" else json.loads(meta["lorac.trainable"])
    os.makedirs(folder, exist_ok=True)
    artifacts.generate_artifacts(model, requires_grad=trained,
                                 frozen_params=[name for name in floats if name not in trained],
                                 loss=artifacts.LossType.CrossEntropyLoss, optimizer=artifacts.OptimType.SGD,
                                 artifact_directory=folder)


def train():
    import peer
    from onnxruntime.training.api import CheckpointState, Module, Optimizer
    asked = peer.request()
    x, y = peer.data(asked)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = asked["threads"]
    options.log_severity_level = 3
    folder = asked["artifacts"]
    state = CheckpointState.load_checkpoint(f"{folder}/checkpoint")
    module = Module(f"{folder}/training_model.onnx", state, None, device="cpu", session_options=options)
    optimizer = Optimizer(f"{folder}/optimizer_model.onnx", module)
    optimizer.set_learning_rate(asked["lr"])
    module.train()

    def step():
        loss = module(x, y)
        optimizer.step()
        module.lazy_reset_grad()
        return loss

    peer.measure(asked, step, {"onnxruntime-training": onnxruntime.__version__})


if sys.argv[1] == "make":
    make(*sys.argv[2:])
else:
    train()
