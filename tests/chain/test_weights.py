# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Weights of every kind, from inject to merge: the types, quantised ones, those that other nodes compute, and those
that two nodes share."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import (good, is_valid, metadata, onnxruntime_outputs, our_outputs, random_images, relative_error,
                     run)

# One Cast and one rounding of the weight in the type of the file.
TOLERANCE = {"float32": 1e-5, "double": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
TYPES = {"float32": (TensorProto.FLOAT, np.float32), "double": (TensorProto.DOUBLE, np.float64),
         "float16": (TensorProto.FLOAT16, np.float16), "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16)}


class Builder:
    """stem 3x3 -> conv 3x3 -> last 3x3 -> pooled -> Gemm or MatMul; each weight as the kind says."""

    def __init__(self, kind, name="float32"):
        self.kind, self.type, self.dtype = kind, *TYPES[name]
        self.rng = np.random.default_rng(11)
        self.nodes, self.tensors = [], []

    def add(self, name, array):
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"n_{output}", **attributes))
        return output

    def random(self, *shape):
        return (self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(self.dtype)

    def weight(self, name, *shape):
        array = self.random(*shape)
        if self.kind == "identity":
            return self.node("Identity", [self.add(f"{name}.raw", array)], name)
        if self.kind == "transpose":
            order = list(range(len(shape)))[::-1]
            return self.node("Transpose", [self.add(f"{name}.raw", array.transpose(order))], name, perm=order)
        if self.kind == "constant":
            return self.node("Constant", [], name, value=numpy_helper.from_array(array, ""))
        if self.kind == "computed":
            gain = self.add(f"{name}.gain", self.random(shape[0], *[1] * (len(shape) - 1)))
            return self.node("Mul", [self.add(f"{name}.raw", array), gain], name)
        if self.kind.startswith("dequantize"):
            return self.dequantize(name, array)
        return self.add(name, array)

    def dequantize(self, name, array):
        per_axis = "axis" in self.kind
        axes = tuple(range(1, array.ndim)) if per_axis else None
        largest = np.abs(array).max(axis=axes, keepdims=per_axis)
        scale = np.asarray(largest / 127, self.dtype)
        zero = 128 if "uint8" in self.kind else 0
        stored = np.clip(np.rint(array / scale) + zero, 0 if zero else -128, 255 if zero else 127)
        stored = stored.astype(np.uint8 if zero else np.int8)
        scale = scale.reshape(-1) if per_axis else scale
        inputs = [self.add(f"{name}.stored", stored), self.add(f"{name}.scale", scale)]
        if zero:
            inputs.append(self.add(f"{name}.zero", np.full(len(stored) if per_axis else (), zero, np.uint8)))
        return self.node("DequantizeLinear", inputs, name, **(dict(axis=0) if per_axis else {}))

    def bias(self, name, count):
        if self.kind == "deduplicated":  # as torch.onnx writes equal tensors
            if not any(tensor.name == "zeros" for tensor in self.tensors):
                self.add("zeros", np.zeros(6, self.dtype))
            return self.node("Identity", ["zeros"], name)
        return self.add(name, self.random(count))

    def model(self):
        classes = 6
        value = "x"
        shared = None
        for i, (name, channels) in enumerate([("stem", 3), ("conv", 6), ("last", 6)]):
            weight = shared if shared and self.kind == "shared" else self.weight(f"{name}.w", 6, channels, 3, 3)
            shared = weight if i == 1 else None
            value = self.node("Conv", [value, weight, self.bias(f"{name}.b", 6)], f"{name}.y", pads=[1, 1, 1, 1])
            if self.kind == "batch-norm":
                inputs = [value, self.ones(), self.zeros(), self.zeros(), self.ones()]
                value = self.node("BatchNormalization", inputs, f"{name}.bn")
            if self.kind == "used-elsewhere" and i == 1:
                mean = self.node("ReduceMean", [weight, self.add("axes", np.array([0, 2, 3]))], "mean")
                value = self.node("Add", [value, mean], "shifted")
            value = self.node("Relu", [value], f"{name}.r")
        value = self.node("Flatten", [self.node("GlobalAveragePool", [value], "pooled")], "flat")
        if self.kind in ("transpose", "identity"):
            value = self.node("MatMul", [value, self.weight("fc.w", 6, classes)], "product")
            self.node("Add", [value, self.bias("fc.b", classes)], "y")
        else:
            self.node("Gemm", [value, self.weight("fc.w", classes, 6), self.bias("fc.b", classes)], "y", transB=1)
        graph = helper.make_graph(self.nodes, "weights",
                                  [helper.make_tensor_value_info("x", self.type, ["n", 3, 8, 8])],
                                  [helper.make_tensor_value_info("y", self.type, ["n", classes])], self.tensors)
        opset = 22 if self.type == TensorProto.BFLOAT16 else 21  # 22 is the first with a Conv of bfloat16
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

    def ones(self):
        return "ones" if any(t.name == "ones" for t in self.tensors) else self.add("ones", np.ones(6, self.dtype))

    def zeros(self):
        return "zeros" if any(t.name == "zeros" for t in self.tensors) else self.add("zeros", np.zeros(6, self.dtype))


KINDS = ["plain", "identity", "transpose", "constant", "computed", "dequantize", "dequantize-axis",
         "dequantize-uint8", "dequantize-uint8-axis", "deduplicated", "shared", "used-elsewhere"]
CASES = [(kind, "float32", []) for kind in KINDS] + [
    ("plain", "float16", []), ("plain", "double", []), ("plain", "bfloat16", []), ("identity", "float16", []),
    ("dequantize-axis", "float16", []), ("constant", "double", []), ("used-elsewhere", "float16", []),
    ("batch-norm", "float32", ["--bn", "train"]), ("batch-norm", "float16", ["--bn", "train"]),
    ("plain", "float16", ["--form", "branch"]), ("dequantize", "float32", ["--form", "branch"]),
    ("identity", "float32", ["--form", "branch"]), ("shared", "float32", ["--form", "branch"]),
    ("deduplicated", "float32", ["--train-all"]), ("shared", "float32", ["--train-all"]),
    ("dequantize", "float32", ["--train-all"]), ("plain", "float16", ["--train-all"]),
    ("identity", "double", ["--train-first"]), ("dequantize-axis", "float32", ["--train-first"]),
]


def outputs(path, images, name):
    """onnxruntime's, or ours for the types in which it has no convolution."""
    if name in ("bfloat16", "double"):
        data = path.parent / "few.npy"
        np.save(data, images)
        return our_outputs(path, data, path.parent, "--normalize", "none")
    return onnxruntime_outputs(path, images.astype(TYPES[name][1])).astype(np.float64)


def values(model):
    """Every tensor of the main graph, by name."""
    graph = model.graph
    found = {tensor.name: tensor for tensor in graph.initializer}
    found.update({node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"})
    return {name: (tensor.data_type, numpy_helper.to_array(tensor).tobytes()) for name, tensor in found.items()}


@pytest.mark.parametrize("kind, name, options", CASES, ids=lambda value: "".join(value) or "weight")
def test_chain(tmp_path, kind, name, options, figures):
    base, injected, trained, merged, again = (tmp_path / f"{part}.onnx" for part in
                                              ("base", "injected", "trained", "merged", "again"))
    onnx.save(Builder(kind, name).model(), base)
    images = random_images(64, (3, 8, 8), 5)
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", np.arange(64) % 6)
    data = ["--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--normalize", "none"]
    options = options if "--train-all" in options else [*options, "--rank", 2]
    report = good("inject", base, "-o", injected, *options).stdout
    good("merge", injected, "-o", again, "--no-check")
    assert again.read_bytes() == base.read_bytes()
    # B is zero: the outputs are those of the original, also where the sum is rounded to another type.
    few = images[:8]
    before = outputs(base, few, name)
    # (onnxruntime folds BatchNormalization into a constant weight, and rounds that to float16.)
    assert relative_error(outputs(injected, few, name), before) <= (1e-4 if kind == "batch-norm" else 1e-6)

    good("train", injected, "-o", trained, *data, "--epochs", 2, "--lr", 0.05, "--batch", 8, "--quiet")
    result = good("merge", trained, "-o", merged)
    after = outputs(trained, few, name)
    error = figures.largest(f"merged against trained, {name}", relative_error(outputs(merged, few, name), after))
    assert error <= TOLERANCE[name]
    assert relative_error(after, before) > 1e-3, "training changed nothing"
    for path in (base, injected, trained, merged):
        assert is_valid(path), path

    original, plain = values(onnx.load(base)), values(onnx.load(merged))
    assert not metadata(onnx.load(merged))
    kept = [key for key in original if plain.get(key) == original[key]]
    if kind.startswith("dequantize"):
        stored = {key for key in original if key.endswith(".stored")}
        assert all(values(onnx.load(injected))[key] == original[key] for key in stored), "quantised weights stay"
        assert ("was quantised" in result.stdout) == ("--train-all" not in options)
        assert "stem.w.stored" in kept or "--train-first" in options or "--train-all" in options
    if kind == "deduplicated":
        assert "gets a copy of 'fc.b'" in report
        assert ("zeros" in kept) == ("--train-all" not in options), "it stays while somebody reads it"
    if kind == "used-elsewhere":
        assert "conv.w" in kept and "conv.w_1" in plain, "the other reader sees the weight as it was"
    if kind == "shared":
        assert len({node.input[1] for node in onnx.load(merged).graph.node if node.op_type == "Conv"}) == 3
    if kind == "batch-norm":
        assert {"zeros", "ones"} <= set(kept) and "n_conv.bn/running_mean" in plain
    for key, (data_type, _) in plain.items():
        if data_type in (TYPES[other][0] for other in TYPES):
            assert data_type == TYPES[name][0], f"{key} changed its type"


def test_external(tmp_path):
    base, injected, trained, merged = (tmp_path / f"{part}.onnx" for part in ("base", "injected", "trained", "merged"))
    onnx.save(Builder("identity", "float16").model(), base, save_as_external_data=True, size_threshold=0,
              location="base.bin")
    images = random_images(16, (3, 8, 8), 5)
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", np.arange(16) % 6)
    stored = (tmp_path / "base.bin").read_bytes()
    good("inject", base, "-o", injected, "--rank", 2)
    good("train", injected, "-o", trained, "--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--normalize",
         "none", "--epochs", 1, "--batch", 8, "--quiet")
    good("merge", trained, "-o", merged)
    after = outputs(trained, images, "float16")
    assert relative_error(outputs(merged, images, "float16"), after) <= TOLERANCE["float16"]
    assert (tmp_path / "base.bin").read_bytes() == stored


def refuse(tmp_path, nodes, tensors, message):
    graph = helper.make_graph(nodes, "refused", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    result = run("inject", tmp_path / "m.onnx", "-o", tmp_path / "out.onnx", "--no-train-last")
    assert result.returncode != 0 and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1 and not (tmp_path / "out.onnx").exists()


def test_refusals(tmp_path):
    first = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "first")
    bad = numpy_helper.from_array(np.full((4, 4, 3, 3), np.nan, np.float32), "bad")
    scale = numpy_helper.from_array(np.float32(0.5), "scale")
    stem = helper.make_node("Conv", ["x", "first"], ["a"], name="stem")
    refuse(tmp_path, [stem, helper.make_node("Conv", ["a", "bad"], ["y"], name="conv")], [first, bad],
           "weight 'bad' has a value that is NaN or infinite")
    refuse(tmp_path, [helper.make_node("QuantizeLinear", ["x", "scale"], ["q"], name="round"),
                      helper.make_node("DequantizeLinear", ["q", "scale"], ["d"]),
                      helper.make_node("Conv", ["d", "first"], ["y"], name="conv")], [first, scale],
           "node 'round' (QuantizeLinear) works on quantised activations")
