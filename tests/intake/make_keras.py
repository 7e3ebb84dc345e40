# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports the Keras models: python make_keras.py [name ...] (needs requirements-keras.txt).

Channels last: tf2onnx puts a Transpose in front, around the Pads, and writes the head as MatMul + Add. Without its
optimiser each convolution keeps its own pair of Transposes; with BatchNorm's fused operator switched off it is Sub,
Mul and Add.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras  # noqa: E402 (the environment comes first)
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf2onnx  # noqa: E402
from keras import layers  # noqa: E402

MODELS = pathlib.Path(__file__).parent / "models"


class Decomposed(layers.Layer):
    """BatchNorm as old graphs hold it: (x - mean) * (scale * rsqrt(variance + epsilon)) + offset, unfused."""

    def build(self, shape):
        for name in ("gamma", "beta", "mean", "variance"):
            setattr(self, name, self.add_weight(shape=(shape[-1],), name=name, trainable=False))

    def call(self, x):
        # Behind an identity that the converter does not see through the four stay apart.
        inverse = tf.math.rsqrt(self.variance + 1e-3) * self.gamma
        return (x - self.mean) * inverse + self.beta


def norm(x, kind):
    if kind == "decomposed":
        return Decomposed()(x)
    return layers.BatchNormalization()(x) if kind == "batch" else x


def block(x, width, stride, o):
    side = x
    if stride != 1 or x.shape[-1] != width:
        side = norm(layers.Conv2D(width, 1, stride, use_bias=o["bias"])(x), o["norm"])
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=o["bias"])(x)
    x = layers.Activation(o["act"])(norm(x, o["norm"]))
    x = norm(layers.Conv2D(width, 3, padding="same", use_bias=o["bias"])(x), o["norm"])
    if o["se"]:
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(width // 2, 1, activation="relu")(gate)
        gate = layers.Conv2D(width, 1, activation="sigmoid")(gate)
        x = layers.Multiply()([x, gate])
    return layers.Activation(o["act"])(layers.Add()([side, x]))


def resnet(act="relu", norm_kind="batch", bias=False, se=False, softmax=True, padded=False, shape=(32, 32, 3),
           preact=False, dropout=False):
    """As keras.applications builds it: ZeroPadding2D before a valid convolution and a valid max-pool."""
    o = dict(act=act, norm=norm_kind, bias=bias, se=se)
    x = inputs = keras.Input(shape, name="input")
    if padded:
        x = layers.Conv2D(4, 7, 2, use_bias=bias)(layers.ZeroPadding2D(3)(x))
        x = layers.Activation(act)(norm(x, norm_kind))
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    else:
        x = layers.Activation(act)(norm(layers.Conv2D(4, 3, padding="same", use_bias=bias)(x), norm_kind))
    for width, stride in ((4, 1), (8, 2), (16, 2)):
        x = block(x, width, stride, o)
    if preact:  # BatchNorm after the last Add
        x = layers.Activation(act)(norm(x, norm_kind))
    x = layers.GlobalAveragePooling2D()(x)
    if dropout:
        x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(10, activation="softmax" if softmax else None, name="predictions")(x)
    return keras.Model(inputs, outputs)


# file: (how, opset, network, options of the converter)
TABLE = {
    "tf2onnx-op15-resnet": ("tf2onnx", 15, lambda: resnet(), {}),
    "tf2onnx-op9-resnet": ("tf2onnx", 9, lambda: resnet(softmax=False), {}),
    "tf2onnx-op13-padded": ("tf2onnx", 13, lambda: resnet(padded=True, preact=True, dropout=True), {}),
    "tf2onnx-op13-channels-first-input": ("tf2onnx", 13, lambda: resnet(softmax=False),
                                          dict(inputs_as_nchw=["input"])),
    "tf2onnx-op18-decomposed": ("tf2onnx", 18, lambda: resnet(norm_kind="decomposed"), {}),
    "tf2onnx-op13-unoptimised": ("tf2onnx-raw", 13, lambda: resnet(softmax=False), {}),
    "tf2onnx-op13-decomposed-unoptimised": ("tf2onnx-raw", 13,
                                            lambda: resnet(norm_kind="decomposed", padded=True), {}),
    "tf2onnx-op17-se-swish": ("tf2onnx", 17, lambda: resnet(act="swish", se=True, softmax=False), {}),
    "tf2onnx-op13-relu6-bias": ("tf2onnx", 13, lambda: resnet(act="relu6", norm_kind="none", bias=True), {}),
    "keras-export-resnet": ("keras", None, lambda: resnet(), {}),
    "keras-export-op18-decomposed": ("keras", 18, lambda: resnet(norm_kind="decomposed", softmax=False), {}),
}


def set_up(model, seed):
    """Seeded weights, and BatchNorm statistics measured on random images."""
    numbers = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) or isinstance(layer, Decomposed):
            c = layer.get_weights()[0].shape
            layer.set_weights([numbers.uniform(0.6, 1.2, c).astype("f"), (numbers.standard_normal(c) * 0.2).astype("f"),
                               np.zeros(c, "f"), np.ones(c, "f")])
        elif layer.get_weights():
            new = []
            for weight in layer.get_weights():
                fan_in = np.prod(weight.shape[:-1])
                scale = (2 / fan_in) ** 0.5 if weight.ndim > 1 else 0.1
                new.append((numbers.standard_normal(weight.shape) * scale).astype("f"))
            layer.set_weights(new)
    images = numbers.standard_normal((16, *model.input_shape[1:])).astype("f")
    for layer in model.layers:
        if isinstance(layer, (layers.BatchNormalization, Decomposed)):
            before = keras.Model(model.input, layer.input)(images).numpy()
            gamma, beta, _, _ = layer.get_weights()
            layer.set_weights([gamma, beta, before.mean((0, 1, 2)), before.var((0, 1, 2))])


def export(name, path):
    how, opset, make, options = TABLE[name]
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    model = make()
    set_up(model, list(TABLE).index(name))
    if how == "keras":
        model(np.zeros((1, *model.input_shape[1:]), "f"))
        if opset:
            options = dict(options, opset_version=opset)
        model.export(str(path), format="onnx", verbose=False, **options)
        return
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="input")]
    if how == "tf2onnx-raw":
        tf2onnx.optimizer.optimize_graph = lambda graph, *_, **__: graph  # what it gives before its optimiser
    function = tf.function(lambda x: model(x, training=False), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset, **options)
    onnx.save(proto, path)


def main():
    failed = 0
    raw_last = sorted(sys.argv[1:] or TABLE, key=lambda name: TABLE[name][0] == "tf2onnx-raw")
    for name in raw_last:
        path = MODELS / f"{name}.onnx"
        try:
            export(name, path)
            print(f"{name}: {path.stat().st_size} bytes, opset {onnx.load(path).opset_import[0].version}", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}: FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
