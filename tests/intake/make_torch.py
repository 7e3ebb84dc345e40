# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports the PyTorch models of this folder: python make_torch.py [name ...] (needs requirements-torch.txt).

A row is: file, how it is exported, the network. `how` is trace or dynamo and keyword arguments of torch.onnx.export.
"""

import pathlib
import sys
import warnings

import onnx
import torch
from torch_nets import ChannelsLast, Decoupled, ResNet, SharedWeights, Shuffle, set_up

MODELS = pathlib.Path(__file__).parent / "models"
BATCH = {0: "batch"}
FREE = {0: "batch", 2: "height", 3: "width"}


def trace(opset, free=BATCH, **options):
    return dict(dynamo=False, opset_version=opset, free=free, **options)


def dynamo(opset, free=BATCH, **options):
    return dict(dynamo=True, opset_version=opset, free=free, **options)


FIXED = None
# BatchNorm not folded, nothing computed ahead.
KEEP = dict(training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
TRAINING = dict(training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)
R = ResNet
SHORT = (1, 1)

# file: (how, network, input shape, type)
TABLE = {
    # ---- opsets, tracing
    "torch-trace-op7-basic": (trace(7), lambda: R()),
    "torch-trace-op9-basic": (trace(9), lambda: R(stem="imagenet", depths=(2, 1, 1))),
    "torch-trace-op11-bottleneck": (trace(11), lambda: R("bottleneck", v1_stride=True)),
    "torch-trace-op13-bottleneck15": (trace(13), lambda: R("bottleneck", stem="imagenet")),
    "torch-trace-op17-preact": (trace(17), lambda: R("preact", depths=(2, 1, 1))),
    "torch-trace-op20-wide": (trace(20), lambda: R("bottleneck", depths=SHORT, wide=2)),
    # ---- how it is exported
    "torch-trace-op9-ir3-inputs": (trace(9, keep_initializers_as_inputs=True), lambda: R()),
    "torch-trace-op11-dropout": (trace(11, **KEEP), lambda: R(head_dropout=True), dict(dropout=True)),
    "torch-trace-op17-training": (trace(17, **TRAINING), lambda: R(head_dropout=True)),  # refused
    "torch-trace-op17-bn": (trace(17, **KEEP), lambda: R("preact", dropout=True)),
    "torch-trace-op9-bn": (trace(9, **KEEP), lambda: R("bottleneck", stem="imagenet")),
    "torch-trace-op14-bn-batch1": (trace(14, FIXED, **KEEP), lambda: R(stem="imagenet")),
    "torch-trace-op8-bn-inputs": (trace(8, keep_initializers_as_inputs=True, **KEEP), lambda: R()),
    "torch-trace-op11-nofold": (trace(11, do_constant_folding=False), lambda: R(head="matmul", pool="reshape")),
    "torch-trace-op17-batch1": (trace(17, FIXED), lambda: R("bottleneck", pool="view")),
    "torch-trace-op17-freehw": (trace(17, FREE), lambda: R(stem="imagenet", pool="adaptive")),
    "torch-trace-op13-zerobias": (trace(13), lambda: R(bias=True, norm="none"), dict(zero_biases=True)),
    # ---- families
    "torch-trace-op13-resnetd": (trace(13), lambda: R("bottleneck", stem="deep", shortcut="D")),
    "torch-trace-op17-resnext": (trace(17), lambda: R("bottleneck", width=8, depths=(1, 1), groups=4)),
    "torch-trace-op13-se": (trace(13), lambda: R(se=dict(), pool="mean")),
    "torch-trace-op11-se-linear": (trace(11), lambda: R(se=dict(linear=True), pool="view")),
    "torch-trace-op17-se-preact": (trace(17), lambda: R("preact", se=dict(gate="hardsigmoid"))),
    "torch-trace-op17-dilated": (trace(17), lambda: R("bottleneck", dilate_last=True)),
    "torch-trace-op13-optionA": (trace(13), lambda: R(shortcut="A", depths=(2, 2, 1))),
    "torch-trace-op11-optionA-avg": (trace(11), lambda: R(shortcut="A", pool="avg")),
    "torch-trace-op11-maxshortcut": (trace(11), lambda: R(shortcut="max")),
    "torch-trace-op17-ceil": (trace(17), lambda: R(stem="ceil", pool="squeeze")),
    "torch-trace-op17-inputbn": (trace(17), lambda: R(stem="input-bn", pool="flatten2")),
    "torch-trace-op13-poolbn": (trace(13), lambda: R(stem="pool-bn", head="bn-neck")),
    "torch-trace-op17-reflect": (trace(17), lambda: R(stem="reflect")),
    # ---- activations
    "torch-trace-op9-relu6": (trace(9), lambda: R(depths=SHORT, act="relu6")),
    "torch-trace-op13-relu6": (trace(13), lambda: R(depths=SHORT, act="relu6", head="conv")),
    "torch-trace-op13-leaky": (trace(13), lambda: R(depths=SHORT, act="leaky")),
    "torch-trace-op17-prelu": (trace(17), lambda: R(depths=SHORT, act="prelu")),
    "torch-trace-op17-silu": (trace(17), lambda: R(depths=SHORT, act="silu")),
    "torch-trace-op13-sigmoid": (trace(13), lambda: R(depths=SHORT, act="sigmoid")),
    "torch-trace-op17-hardsigmoid": (trace(17), lambda: R(depths=SHORT, act="hardsigmoid")),
    "torch-trace-op13-hardswish": (trace(13), lambda: R(depths=SHORT, act="hardswish")),
    "torch-trace-op17-hardswish": (trace(17), lambda: R("preact", depths=SHORT, act="hardswish")),
    "torch-trace-op17-elu": (trace(17), lambda: R(depths=SHORT, act="elu")),
    "torch-trace-op13-gelu": (trace(13), lambda: R(depths=SHORT, act="gelu")),
    "torch-trace-op20-gelu": (trace(20), lambda: R(depths=SHORT, act="gelu")),
    "torch-trace-op20-gelu-tanh": (trace(20), lambda: R(depths=SHORT, act="gelu-tanh")),
    "torch-trace-op17-clamp": (trace(17), lambda: R(depths=SHORT, act="clamp")),
    # ---- ends, inputs, norms
    "torch-trace-op17-softmax": (trace(17), lambda: R(end="softmax", head_dropout=True)),
    "torch-trace-op11-logsoftmax": (trace(11), lambda: R(end="log_softmax")),
    "torch-trace-op17-two-outputs": (trace(17, output_names=["logits", "features"]), lambda: R(end="features")),
    "torch-trace-op13-features-first": (trace(13, output_names=["features", "logits"]),
                                        lambda: R(depths=SHORT, end="features-first")),
    "torch-trace-op13-argmax": (trace(13, output_names=["logits", "label"]), lambda: R(depths=SHORT, end="argmax")),
    "torch-trace-op17-gray": (trace(17), lambda: R(depths=SHORT, channels=1), dict(shape=(1, 28, 28))),
    "torch-trace-op17-rgba": (trace(17), lambda: R(depths=SHORT, channels=4, head="no-bias"), dict(shape=(4, 32, 32))),
    "torch-trace-op17-oblong": (trace(17), lambda: R(stem="imagenet", shortcut="D"), dict(shape=(3, 37, 50))),
    "torch-trace-op17-groupnorm": (trace(17), lambda: R(norm="group")),
    "torch-trace-op18-groupnorm": (trace(18), lambda: R("preact", norm="group")),
    "torch-trace-op17-instancenorm": (trace(17), lambda: R(norm="instance")),
    "torch-trace-op17-headconv-softmax": (trace(17), lambda: R(head="conv", end="softmax")),
    "torch-trace-op13-preprocess": (trace(13), lambda: Decoupled(R(), (32, 32)), dict(shape=(3, 40, 40))),
    "torch-trace-op11-preprocess-nearest": (trace(11), lambda: Decoupled(R(), (32, 32), "nearest"),
                                            dict(shape=(3, 16, 16))),
    "torch-trace-op13-channelslast": (trace(13), lambda: ChannelsLast(R("bottleneck")), dict(shape=(32, 32, 3))),
    "torch-trace-op13-split-concat-resize": (trace(13), Shuffle),
    "torch-trace-op17-shared": (trace(17), SharedWeights),
    # ---- types
    "torch-trace-op13-half": (trace(13), lambda: R(), dict(type=torch.float16)),
    "torch-trace-op17-half-preact": (trace(17), lambda: R("preact", se=dict()), dict(type=torch.float16)),
    "torch-trace-op17-double": (trace(17), lambda: R(head="matmul"), dict(type=torch.float64)),
    # ---- dynamo
    "torch-dynamo-op18-basic": (dynamo(18), lambda: R()),
    "torch-dynamo-op18-bottleneck": (dynamo(18), lambda: R("bottleneck", stem="imagenet")),
    "torch-dynamo-op18-unoptimised": (dynamo(18, optimize=False), lambda: R("preact", depths=SHORT)),
    "torch-dynamo-op18-batch1": (dynamo(18, FIXED), lambda: R("bottleneck", v1_stride=True)),
    "torch-dynamo-op18-freehw": (dynamo(18, FREE), lambda: R(stem="imagenet", pool="mean")),
    "torch-dynamo-op20-se": (dynamo(20), lambda: R(se=dict())),
    "torch-dynamo-op18-se-linear": (dynamo(18), lambda: R(se=dict(linear=True), pool="view")),
    "torch-dynamo-op18-optionA": (dynamo(18), lambda: R(shortcut="A")),
    "torch-dynamo-op18-resnetd-silu": (dynamo(18), lambda: R("bottleneck", stem="deep", shortcut="D", act="silu")),
    "torch-dynamo-op20-gelu": (dynamo(20), lambda: R(act="gelu")),
    "torch-dynamo-op18-hardswish": (dynamo(18), lambda: R(act="hardswish", pool="reshape")),
    "torch-dynamo-op18-prelu": (dynamo(18), lambda: R(act="prelu")),
    "torch-dynamo-op21-groupnorm": (dynamo(21), lambda: R(norm="group")),
    "torch-dynamo-op18-instancenorm": (dynamo(18), lambda: R(norm="instance")),
    "torch-dynamo-op18-two-outputs": (dynamo(18), lambda: R(end="features", head="bn-neck")),
    "torch-dynamo-op18-shared": (dynamo(18), SharedWeights),
    "torch-dynamo-op18-split-concat-resize": (dynamo(18), Shuffle),
    "torch-dynamo-op18-preprocess": (dynamo(18), lambda: Decoupled(R(), (32, 32)), dict(shape=(3, 40, 40))),
    "torch-dynamo-op18-half": (dynamo(18), lambda: R("bottleneck"), dict(type=torch.float16)),
    # No BatchNorm: folding one, the exporter leaves a float32 weight, and a model that is not valid.
    "torch-dynamo-op22-bfloat16": (dynamo(22), lambda: R(norm="none", bias=True), dict(type=torch.bfloat16)),
    "torch-dynamo-op23-logsoftmax": (dynamo(23), lambda: R(end="log_softmax", head_dropout=True)),
    "torch-dynamo-op24-resnext": (dynamo(24), lambda: R("bottleneck", width=8, depths=(1, 1), groups=2)),
}


def export(name, path):
    how, make, *others = TABLE[name]
    how, others = dict(how), others[0] if others else {}
    shape, kind = others.get("shape", (3, 32, 32)), others.get("type", torch.float32)
    torch.manual_seed(list(TABLE).index(name))
    network = set_up(make(), list(TABLE).index(name), shape)
    if others.get("zero_biases"):  # equal tensors, which the exporter keeps once and reaches through Identity
        for part in network.modules():
            if isinstance(part, torch.nn.Conv2d) and part.bias is not None:
                torch.nn.init.zeros_(part.bias)
    network = network.to(kind)
    free = how.pop("free")
    is_dynamo = how["dynamo"]
    image = torch.randn(1 if free is None else 2, *shape, dtype=kind)
    if how.get("training") == torch.onnx.TrainingMode.TRAINING:
        network.train()
    if others.get("dropout"):  # set 11 knows no training mode: a Dropout node that does nothing
        for part in network.modules():
            if isinstance(part, torch.nn.Dropout):
                part.train()
    if is_dynamo:
        if free:
            how["dynamic_shapes"] = ({axis: torch.export.Dim.DYNAMIC for axis in free},)
        how.update(external_data=False, verbose=False)
    else:
        how.setdefault("output_names", ["logits"])
        how["dynamic_axes"] = {"input": free, **{output: {0: "batch"} for output in how["output_names"]}} \
            if free else None
    torch.onnx.export(network, (image,), str(path), input_names=["input"], **how)
    strip(path)


def strip(path):
    """Takes out stack traces: they name the machine's folders, and are larger than the weights."""
    model = onnx.load(path)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if "stack_trace" not in entry.key]
        del node.metadata_props[:]
        if any(len(entry.value) > 200 for entry in kept):
            kept = []
        node.metadata_props.extend(kept)
        node.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    onnx.save(model, path)


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    failed = 0
    for name in sys.argv[1:] or TABLE:
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
