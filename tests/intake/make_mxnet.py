# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports the MXNet (Gluon) models: python make_mxnet.py [name ...] (needs requirements-mxnet.txt, Python 3.8).

BatchNorm with fix_gamma writes a scale of ones; v2 networks begin with a BatchNorm of the input; the head is Flatten
and a fully connected layer; every initialiser is an input as well.
"""

import pathlib
import sys
import tempfile

import mxnet as mx
import numpy as np
import onnx
from mxnet.gluon.model_zoo.vision import resnet

MODELS = pathlib.Path(__file__).parent / "models"


def gluon_v1(bottleneck=False):
    block = resnet.BottleneckV1 if bottleneck else resnet.BasicBlockV1
    return resnet.ResNetV1(block, [1, 1, 1], [4, 4, 8, 16], classes=10, thumbnail=True)


def gluon_v2():
    return resnet.ResNetV2(resnet.BasicBlockV2, [1, 1, 1], [4, 4, 8, 16], classes=10)


def symbol_v1():
    """The older symbols of MXNet: fix_gamma, LeakyReLU, a softmax at the end."""
    def unit(x, width, stride, name):
        side = x
        if stride > 1:
            side = mx.sym.Convolution(x, num_filter=width, kernel=(1, 1), stride=(stride, stride), no_bias=True,
                                      name=f"{name}_sc")
        x = mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, name=f"{name}_bn1")
        x = mx.sym.Activation(x, act_type="relu", name=f"{name}_relu1")
        x = mx.sym.Convolution(x, num_filter=width, kernel=(3, 3), stride=(stride, stride), pad=(1, 1), no_bias=True,
                               name=f"{name}_conv1")
        x = mx.sym.BatchNorm(x, fix_gamma=True, eps=2e-5, name=f"{name}_bn2")
        x = mx.sym.LeakyReLU(x, act_type="leaky", slope=0.1, name=f"{name}_relu2")
        x = mx.sym.Convolution(x, num_filter=width, kernel=(3, 3), pad=(1, 1), no_bias=True, name=f"{name}_conv2")
        return x + side

    data = mx.sym.Variable("data")
    x = mx.sym.BatchNorm(data, fix_gamma=True, eps=2e-5, name="bn_data")
    x = mx.sym.Convolution(x, num_filter=4, kernel=(3, 3), pad=(1, 1), no_bias=True, name="conv0")
    for i, (width, stride) in enumerate(((4, 1), (8, 2), (16, 2))):
        x = unit(x, width, stride, f"unit{i}")
    x = mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, name="bn1")
    x = mx.sym.Activation(x, act_type="relu", name="relu1")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=10, name="fc1")
    return mx.sym.softmax(x, name="softmax")


TABLE = {
    "mxnet-gluon-v1": lambda: gluon_v1(),
    "mxnet-gluon-v1-bottleneck": lambda: gluon_v1(True),
    "mxnet-gluon-v2": lambda: gluon_v2(),
    "mxnet-symbol-softmax": lambda: symbol_v1(),
}


def values(name, shape, numbers):
    if name.endswith(("gamma", "running_var", "moving_var")):
        return numbers.uniform(0.6, 1.2, shape)
    if name.endswith(("beta", "running_mean", "moving_mean", "bias")):
        return numbers.standard_normal(shape) * 0.2
    return numbers.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5


def symbol_and_values(made, numbers):
    if isinstance(made, mx.sym.Symbol):
        symbol = made
    else:
        made.hybridize()
        made.initialize(init=mx.init.Zero())
        made(mx.nd.zeros((1, 3, 32, 32)))
        symbol = made(mx.sym.Variable("data"))
    shapes, _, states = symbol.infer_shape(data=(2, 3, 32, 32))
    params = {}
    for kind, names, sizes in (("arg", symbol.list_arguments(), shapes),
                               ("aux", symbol.list_auxiliary_states(), states)):
        for name, shape in zip(names, sizes):
            if name != "data":
                params[f"{kind}:{name}"] = mx.nd.array(values(name, shape, numbers).astype("f"))
    return symbol, params


def export(name, path):
    symbol, params = symbol_and_values(TABLE[name](), np.random.default_rng(list(TABLE).index(name)))
    with tempfile.TemporaryDirectory() as folder:
        symbol.save(f"{folder}/m-symbol.json")
        mx.nd.save(f"{folder}/m-0000.params", params)
        mx.onnx.export_model(f"{folder}/m-symbol.json", f"{folder}/m-0000.params", [(1, 3, 32, 32)], np.float32,
                             str(path), dynamic=True, dynamic_input_shapes=[("batch", 3, 32, 32)])


def main():
    failed = 0
    for name in sys.argv[1:] or TABLE:
        path = MODELS / f"{name}.onnx"
        try:
            export(name, path)
            print(f"{name}: {path.stat().st_size} bytes, opset {onnx.load(str(path)).opset_import[0].version}")
        except Exception as error:
            failed += 1
            print(f"{name}: FAILED: {type(error).__name__}: {str(error)[:300]}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
