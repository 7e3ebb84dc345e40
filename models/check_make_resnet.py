#!/usr/bin/env python3
# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Check make_resnet.py: validity, parameter counts, sane activations, determinism.

Everything else is tested with the networks of make_resnet.py, so a mistake
there would hide mistakes elsewhere.  Needs onnx, NumPy and ONNX Runtime.
"""

import itertools
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from make_resnet import IR_OF_OPSET, STAGES, make_resnet

# Convolutions, BatchNormalization and classifier of the CIFAR form, 10 classes.
PARAMETERS = {18: 11173962, 34: 21282122, 50: 23520842, 101: 42512970}
# What LoRA-C trains, by depth and rank factor r.
LORA_C = {(18, 1): 73280, (18, 4): 272576, (18, 16): 1069760,
          (50, 1): 131648, (50, 4): 459968, (50, 16): 1773248}
failures = 0


def expect(condition, message):
    """Count and report a failure."""
    global failures
    if not condition:
        failures += 1
        print("FAILED:", message)


def weights(model):
    """Return the initialisers of a model by name."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def run(model, x, values=False):
    """Run a model; with values, return every intermediate value instead."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    if values:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        for node in model.graph.node:
            if node.output[0] not in [o.name for o in model.graph.output]:
                model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"input": x})
    return outputs if values else outputs[0]


def check_counts():
    """Compare parameter counts with the published architecture and with LoRA-C."""
    for depth, expected in PARAMETERS.items():
        w = weights(make_resnet(depth))
        count = sum(a.size for n, a in w.items() if ".running_" not in n)
        expect(count == expected, f"ResNet-{depth} has {count} parameters, not {expected}")
        for rank_factor in (1, 4, 16):
            trained = w["conv1.weight"].size + w["fc.weight"].size
            for name, a in w.items():
                if a.ndim == 4 and name != "conv1.weight":
                    m, c, k, _ = a.shape
                    rank = rank_factor * k
                    trained += rank * c * k + m * k * rank
            expected = LORA_C.get((depth, rank_factor), trained)
            expect(trained == expected,
                   f"LoRA-C r={rank_factor} of ResNet-{depth}: {trained}, not {expected}")
            print(f"ResNet-{depth}: {count} parameters, LoRA-C r={rank_factor}: {trained}")


def check_outputs():
    """Compare kept with folded, and look at the size of all activations."""
    rng = np.random.default_rng(7)
    forms = [("cifar", d) for d in [14, 20, 56, *STAGES]]
    forms += [("imagenet", d) for d in STAGES]
    for (form, depth), width in itertools.product(forms, (1.0, 0.25)):
        side = 224 if form == "imagenet" else 32
        x = rng.standard_normal((2, 3, side, side), dtype=np.float32)
        kept = make_resnet(depth, form, "kept", width=width)
        values = run(kept, x, values=True)
        logits = values[0]
        sizes = [np.sqrt((v.astype(np.float64) ** 2).mean()) for v in values]
        folded = run(make_resnet(depth, form, "folded", width=width), x)
        error = np.abs(folded - logits).max() / np.abs(logits).max()
        spread = logits.std(axis=1).mean()
        print(f"{form:8} {depth:3} width {width:4}: rms of activations {min(sizes):.2f} to "
              f"{max(sizes):.2f}, spread of logits {spread:.2f}, folded differs by {error:.1e}")
        expect(0.03 < min(sizes) and max(sizes) < 15, f"activations of {form} {depth} {width}")
        expect(0.7 < spread < 3.5, f"logits of {form} {depth} {width}")
        expect(error < 1e-5, f"folded {form} {depth} {width} differs by {error}")


def check_opsets():
    """Check every opset and option with onnx.checker, and that all compute the same."""
    x = np.random.default_rng(8).standard_normal((2, 3, 64, 64), dtype=np.float32)
    count = 0
    for depth, form, bias in itertools.product([*STAGES, 14], ("cifar", "imagenet"),
                                               (True, False)):
        reference = None
        for opset, bn, head, ir in itertools.product(
                IR_OF_OPSET, ("kept", "folded"), ("gemm", "conv", "matmul"), (None, 3)):
            if head == "gemm" and not bias and opset < 11:
                continue
            model = make_resnet(depth, form, bn, 10, 1 / 16, opset, ir, (64, 64),
                                head=head, head_bias=bias)
            what = f"{depth} {form} {bn} opset {opset} ir {ir} {head} bias {bias}"
            onnx.checker.check_model(model, full_check=True)
            inputs = 1 + (len(model.graph.initializer) if ir == 3 else 0)
            expect(len(model.graph.input) == inputs, what + ": graph inputs")
            logits = run(model, x)
            reference = logits if reference is None else reference
            error = np.abs(logits - reference).max() / np.abs(reference).max()
            expect(error < 1e-5, f"{what} differs by {error}")
            count += 1
    print(f"{count} combinations of depth, form, opset, IR version and head agree")


def check_options():
    """Check the remaining options, and that weights and bytes are reproducible."""
    base = make_resnet(20, seed=3)
    expect(base.SerializeToString() == make_resnet(20, seed=3).SerializeToString(), "bytes")
    expect(base.SerializeToString() != make_resnet(20, seed=4).SerializeToString(), "seed")
    other = make_resnet(20, seed=3, opset=9, batch=5, input_size=(40, 24), softmax=True)
    onnx.checker.check_model(other, full_check=True)
    w, v = weights(base), weights(other)
    expect(all(np.array_equal(w[n], v[n]) for n in w), "weights depend on the input")
    y = run(other, np.zeros((5, 3, 40, 24), np.float32))
    expect(y.shape == (5, 10) and np.allclose(y.sum(axis=1), 1, atol=1e-5), "softmax")
    gray = make_resnet(18, channels=1, width=0.1, batch="batch", classes=7)
    onnx.checker.check_model(gray, full_check=True)
    y = run(gray, np.zeros((3, 1, 32, 32), np.float32))
    expect(y.shape == (3, 7), "one channel and seven classes")
    names = {n.name for n in make_resnet(18).graph.node}
    for name in ("/conv1/Conv", "/relu/Relu", "/layer1/layer1.0/conv1/Conv", "/Flatten",
                 "/layer2/layer2.0/downsample/downsample.0/Conv", "/fc/Gemm",
                 "/layer1/layer1.0/relu_1/Relu", "/bn1/BatchNormalization"):
        expect(name in names, f"no node named {name}")


if __name__ == "__main__":
    check_counts()
    check_options()
    check_opsets()
    check_outputs()
    print("all checks passed" if not failures else f"{failures} checks failed")
    sys.exit(failures != 0)
