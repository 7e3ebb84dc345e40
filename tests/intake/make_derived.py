# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Passes models of this folder through the tools that vendors pass theirs through: python make_derived.py [name ...]
(needs requirements-derived.txt; the models of the other scripts must be there).

onnxsim, onnxslim, onnxruntime's graph optimiser (basic: still plain ONNX; extended: operators of its own), its
quantisers, and onnx's version converter and external data.
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import onnxsim
import onnxslim
from onnx import external_data_helper, helper, numpy_helper, version_converter
from onnxruntime import quantization

MODELS = pathlib.Path(__file__).parent / "models"


def source(name):
    return onnx.load(MODELS / f"{name}.onnx")


def simplified(name, path):
    model, agrees = onnxsim.simplify(source(name))
    assert agrees
    onnx.save(model, path)


def slimmed(name, path):
    onnx.save(onnxslim.slim(source(name)), path)


def optimised(name, path, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(MODELS / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])


def basic(name, path):
    optimised(name, path, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)


def extended(name, path):
    optimised(name, path, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)


def converted(opset):
    def convert(name, path):
        onnx.save(version_converter.convert_version(source(name), opset), path)
    return convert


class Images(quantization.CalibrationDataReader):
    def __init__(self, name):
        self.name = name
        numbers = np.random.default_rng(0)
        self.images = iter([numbers.standard_normal((2, 3, 32, 32)).astype("f") for _ in range(4)])

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {self.name: image}


def static(form):
    def quantise(name, path):
        quantization.quantize_static(str(MODELS / f"{name}.onnx"), str(path), Images("input"), quant_format=form)
    return quantise


def dynamic(name, path):
    quantization.quantize_dynamic(str(MODELS / f"{name}.onnx"), str(path), op_types_to_quantize=["Conv", "MatMul"])


def weight_only(per_channel, zero_point=False, kind=np.int8):
    """DequantizeLinear on the weights and nothing on activations, as weight compressors write it."""
    def quantise(name, path):
        model = source(name)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes, gone = [], set()
        for node in model.graph.node:
            for i, value in enumerate(node.input):
                if node.op_type not in ("Conv", "Gemm", "MatMul") or i != 1 or value not in tensors:
                    continue
                weight = numpy_helper.to_array(tensors[value])
                axis = 0 if node.op_type == "Conv" or (node.op_type == "Gemm" and weight.shape[0] == 10) else 1
                others = tuple(k for k in range(weight.ndim) if k != axis)
                if zero_point:  # asymmetric, uint8
                    low, high = np.minimum(weight.min(others), 0), np.maximum(weight.max(others), 0)
                    if not per_channel:
                        low, high = low.min(), high.max()
                    scale = ((high - low) / 255).astype("f")
                    zero = np.round(-low / scale).astype(np.uint8)
                    low_q, high_q = 0, 255
                else:
                    largest = np.abs(weight).max(others) if per_channel else np.abs(weight).max()
                    scale = np.asarray(largest / 127, dtype="f")
                    zero = None
                    low_q, high_q = -127, 127
                shape = [1] * weight.ndim
                if per_channel:
                    shape[axis] = -1
                    steps = weight / scale.reshape(shape)
                    steps = steps if zero is None else steps + zero.reshape(shape)
                else:
                    steps = weight / scale + (0 if zero is None else zero)
                quantised = np.clip(np.round(steps), low_q, high_q).astype(np.uint8 if zero_point else kind)
                inputs = [f"{value}_q", f"{value}_scale"]
                model.graph.initializer.append(numpy_helper.from_array(quantised, inputs[0]))
                model.graph.initializer.append(numpy_helper.from_array(scale, inputs[1]))
                if zero is not None:
                    inputs.append(f"{value}_zero")
                    model.graph.initializer.append(numpy_helper.from_array(zero, inputs[2]))
                extra = dict(axis=axis) if per_channel else {}
                nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{value}_float"], f"{value}_dequantize",
                                              **extra))
                node.input[i] = f"{value}_float"
                gone.add(value)
        kept = [tensor for tensor in model.graph.initializer if tensor.name not in gone]
        rest = list(model.graph.node)
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.initializer.extend(kept)
        model.graph.node.extend(nodes + rest)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
    return quantise


def external(one_file):
    """A folder with the model and its data: models over 2 GB are always like this."""
    def save(name, path):
        model = source(name)
        folder = path.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for i, tensor in enumerate(model.graph.initializer):
            if len(tensor.raw_data) >= 256:
                external_data_helper.set_external_data(tensor, "weights.bin" if one_file else f"weights-{i}.bin")
        with contextlib.chdir(folder):
            onnx.save(model, "model.onnx")
    return save


def half(name, path):
    """float16 inside, float32 input and output: a Cast at each end, as converters leave them."""
    from onnxruntime.transformers import float16
    model = float16.convert_float_to_float16(source(name), keep_io_types=True)
    model.graph.node.sort(key=lambda node: node.name != "graph_input_cast0")  # it appends the first Cast
    onnx.save(model, path)


# file: (tool, of which model)
TABLE = {
    "onnxsim-torch-nofold": (simplified, "torch-trace-op11-nofold"),
    "onnxsim-tf2onnx-decomposed": (simplified, "tf2onnx-op13-decomposed-unoptimised"),
    "onnxsim-optionA": (simplified, "torch-trace-op13-optionA"),
    "onnxslim-torch-bn": (slimmed, "torch-trace-op9-bn"),
    "onnxslim-torch-dynamo": (slimmed, "torch-dynamo-op18-unoptimised"),
    "onnxslim-paddle": (slimmed, "paddle-op11-unoptimised"),
    "ort-basic-torch-bn": (basic, "torch-trace-op17-bn"),
    "ort-basic-tf2onnx": (basic, "tf2onnx-op13-unoptimised"),
    "ort-basic-torch-se": (basic, "torch-trace-op11-se-linear"),
    "ort-extended": (extended, "torch-trace-op13-leaky"),
    "version-converted-op21": (converted(21), "torch-trace-op9-relu6"),
    "version-converted-op8": (converted(8), "torch-trace-op9-basic"),
    "weights-int8-tensor": (weight_only(False), "torch-trace-op13-leaky"),
    "weights-int8-channel": (weight_only(True), "torch-trace-op17-two-outputs"),
    "weights-uint8-channel-zero-point": (weight_only(True, True), "torch-trace-op17-rgba"),
    "qdq-static": (static(quantization.QuantFormat.QDQ), "torch-trace-op13-leaky"),
    "qoperator-static": (static(quantization.QuantFormat.QOperator), "torch-trace-op17-clamp"),
    "quantised-dynamic": (dynamic, "torch-trace-op13-sigmoid"),
    "external-one-file": (external(True), "torch-trace-op9-bn"),
    "external-many-files": (external(False), "torch-trace-op13-leaky"),
    "half-inside-float-ends": (half, "torch-trace-op17-bn"),
}


def main():
    failed = 0
    for name in sys.argv[1:] or TABLE:
        make, of = TABLE[name]
        path = MODELS / f"{name}.onnx"
        try:
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                make(of, path)
            print(f"{name}: done", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}: FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
