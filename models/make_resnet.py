#!/usr/bin/env python3
# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Write a ResNet of any depth as an ONNX file, with seeded random weights.

The tests need networks of every architecture the tool supports, in every
opset, and no download and no training framework should stand between a fresh
checkout and those tests.  This script therefore needs onnx and NumPy alone.

The weights are random but behave like those of a trained network: activations
stay of order one through the whole depth, and the running statistics of every
BatchNormalization are those of real activations.  Random weights without this
care overflow or vanish in a deep network, and a comparison of two
implementations then tells nothing.

The same arguments give the same bytes.  The weights depend on the seed and on
the architecture only: not on the opset, the IR version, the input size, the
batch dimension, nor on whether BatchNormalization is kept or folded.
"""

import argparse
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The IR version of the onnx release that introduced each opset.
IR_OF_OPSET = {9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8,
               18: 8, 19: 9, 20: 9, 21: 10}

# The blocks of each stage and whether the blocks are bottlenecks, as in
# torchvision.  Other depths of the form 6n+2 are the CIFAR networks of the
# ResNet paper: three stages of 16, 32 and 64 channels with n basic blocks each.
STAGES = {18: ([2, 2, 2, 2], False), 34: ([3, 4, 6, 3], False),
          50: ([3, 4, 6, 3], True), 101: ([3, 4, 23, 3], True),
          152: ([3, 8, 36, 3], True)}

EPSILON = 1e-5
LOGIT_SPREAD = 1.8


def stage_plan(depth, width):
    """Return (channels of the stem, [(blocks, channels)], bottleneck?)."""
    if depth in STAGES:
        blocks, bottleneck = STAGES[depth]
        base = 64
    elif depth >= 8 and (depth - 2) % 6 == 0:
        blocks, bottleneck = [(depth - 2) // 6] * 3, False
        base = 16
    else:
        raise ValueError(f"depth {depth} is neither 18, 34, 50, 101, 152 nor 6n+2")
    channels = [max(4, round(base * 2 ** i * width)) for i in range(len(blocks))]
    return channels[0], list(zip(blocks, channels)), bottleneck


def convolve(x, weight, stride, pad):
    """Convolve x [N,C,H,W] in float64, one kernel tap after the other."""
    n, c, h, w = x.shape
    m, _, kh, kw = weight.shape
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((n, m, oh * ow))
    for i in range(kh):
        for j in range(kw):
            tap = padded[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride]
            out += weight[:, :, i, j].astype(np.float64) @ tap.reshape(n, c, -1)
    return out.reshape(n, m, oh, ow)


def max_pool(x):
    """Apply the 3x3 max-pool with stride 2 and padding 1 of the ImageNet stem."""
    h, w = x.shape[2:]
    oh, ow = (h - 1) // 2 + 1, (w - 1) // 2 + 1
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    taps = [padded[:, :, i:i + 2 * oh:2, j:j + 2 * ow:2]
            for i in range(3) for j in range(3)]
    return np.max(taps, axis=0)


def coarse(x):
    """Round to multiples of 2**-12.

    BLAS libraries differ in the last bits of a sum.  Rounding what is derived
    from such sums keeps the bytes of the file the same from machine to machine.
    """
    return np.round(np.asarray(x) * 4096) / 4096


class Value:
    """A value of the graph: its ONNX name and a float64 sample of its content."""

    def __init__(self, name, sample):
        self.name = name
        self.sample = sample


class Builder:
    """Collects nodes and initialisers while it computes the sample alongside.

    The sample is what makes realistic running statistics possible: it shows
    the mean and variance that each BatchNormalization will really meet.
    """

    def __init__(self, bn, opset, seed, blocks):
        # Without smaller branches, rounding errors grow to 1e-5 in 50 blocks.
        self.last_gamma = min(1.0, np.sqrt(16 / blocks))
        self.folded = bn == "folded"
        self.opset = opset
        self.rng = np.random.default_rng([seed, 0])
        self.nodes = []
        self.initializers = []

    def constant(self, name, array):
        """Add an initialiser and return its name."""
        array = np.ascontiguousarray(array, dtype=np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op_type, inputs, module, output=None, **attributes):
        """Add a node under the name torch's exporter would give; return its output."""
        name = f"{module}/{op_type}"
        output = output or f"{name}_output_0"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name,
                                           **attributes))
        return output

    def conv_bn(self, x, conv, bn, channels, kernel, stride=1, last=False):
        """Add a convolution and its BatchNormalization, or both folded in one.

        conv and bn are the parameter prefixes.  last marks the end of a
        residual branch, whose gamma is small in trained networks; without this
        the sum over the blocks would grow with the depth.
        """
        pad = kernel // 2
        shape = (channels, x.sample.shape[1], kernel, kernel)
        std = np.sqrt(2.0 / (channels * kernel * kernel))
        weight = self.rng.standard_normal(shape, dtype=np.float32) * np.float32(std)
        y = convolve(x.sample, weight, stride, pad)
        gamma, beta, mean, var = self.bn_parameters(y, last)
        scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + EPSILON)
        shift = beta - mean * scale
        y = y * scale[:, None, None] + shift[:, None, None]

        geometry = dict(dilations=[1, 1], group=1, kernel_shape=[kernel, kernel],
                        pads=[pad] * 4, strides=[stride, stride])
        if self.folded:
            inputs = [x.name,
                      self.constant(conv + ".weight", weight * scale[:, None, None, None]),
                      self.constant(conv + ".bias", shift)]
            return Value(self.node("Conv", inputs, module_path(conv), **geometry), y)
        inputs = [x.name, self.constant(conv + ".weight", weight)]
        name = self.node("Conv", inputs, module_path(conv), **geometry)
        return Value(self.batch_norm(name, bn, gamma, beta, mean, var), y)

    def bn_parameters(self, y, last):
        """Draw gamma and beta, and take mean and variance from the sample y.

        The sample of a late stage is small, so each channel's variance is drawn
        half way to the average of all channels.  The random deviation
        on top stands for the difference between a batch and a running average.
        """
        rng, channels = self.rng, y.shape[1]
        if last:
            gamma = rng.uniform(0.3, 0.5, channels) * self.last_gamma
        else:
            gamma = np.clip(1 + 0.15 * rng.standard_normal(channels), 0.5, 1.5)
        beta = 0.1 * rng.standard_normal(channels)
        var = y.var(axis=(0, 2, 3))
        var = (var + var.mean()) / 2
        mean = y.mean(axis=(0, 2, 3)) + 0.1 * np.sqrt(var) * rng.standard_normal(channels)
        var = np.maximum(var * rng.uniform(0.8, 1.25, channels), 1.0 / 64)
        return [a.astype(np.float32) for a in (gamma, beta, coarse(mean), coarse(var))]

    def batch_norm(self, name, bn, gamma, beta, mean, var):
        """Add an inference-mode BatchNormalization and return its output."""
        inputs = [name, self.constant(bn + ".weight", gamma),
                  self.constant(bn + ".bias", beta),
                  self.constant(bn + ".running_mean", mean),
                  self.constant(bn + ".running_var", var)]
        attributes = dict(epsilon=EPSILON, momentum=0.9)
        if self.opset >= 14:
            attributes["training_mode"] = 0
        return self.node("BatchNormalization", inputs, module_path(bn), **attributes)

    def relu(self, x, module):
        """Add a Relu."""
        return Value(self.node("Relu", [x.name], module), np.maximum(x.sample, 0))

    def add(self, x, y, module):
        """Add the sum of a residual branch and its shortcut."""
        return Value(self.node("Add", [x.name, y.name], module), x.sample + y.sample)

    def pool(self, x):
        """Add the max-pool of the ImageNet stem."""
        attributes = dict(kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
        if self.opset >= 10:
            attributes.update(ceil_mode=0, dilations=[1, 1])
        name = self.node("MaxPool", [x.name], "/maxpool", **attributes)
        return Value(name, max_pool(x.sample))

    def block(self, x, prefix, channels, stride, bottleneck):
        """Add one residual block; a 1x1 convolution adapts the shortcut if needed."""
        path = module_path(prefix)
        out_channels = channels * (4 if bottleneck else 1)
        kernels = [1, 3, 1] if bottleneck else [3, 3]
        widths = [channels] * (len(kernels) - 1) + [out_channels]
        # The stride is in the first 3x3 convolution ("version 1.5").
        strides = [1, stride, 1] if bottleneck else [stride, 1]
        y = x
        for i, (kernel, width, step) in enumerate(zip(kernels, widths, strides)):
            last = i == len(kernels) - 1
            y = self.conv_bn(y, f"{prefix}.conv{i + 1}", f"{prefix}.bn{i + 1}",
                             width, kernel, step, last)
            if not last:
                y = self.relu(y, f"{path}/relu" + (f"_{i}" if i else ""))
        if stride != 1 or x.sample.shape[1] != out_channels:
            x = self.conv_bn(x, f"{prefix}.downsample.0", f"{prefix}.downsample.1",
                             out_channels, 1, stride)
        return self.relu(self.add(y, x, path), f"{path}/relu_{len(kernels) - 1}")

    def head(self, x, classes, kind, bias, output):
        """Add global average pooling and the classifier, and return its output.

        The weights are scaled so that the logits differ by about one to three.
        """
        features = x.sample.mean(axis=(2, 3))
        length = np.sqrt((features ** 2).sum(axis=1).mean())
        weight = self.rng.standard_normal((classes, features.shape[1]))
        weight = (weight * coarse(LOGIT_SPREAD / length)).astype(np.float32)
        bias_values = 0.1 * self.rng.standard_normal(classes)
        pooled = self.node("GlobalAveragePool", [x.name], "/avgpool")
        extra = [self.constant("fc.bias", bias_values)] if bias else []
        if kind == "conv":
            name = self.constant("fc.weight", weight[:, :, None, None])
            y = self.node("Conv", [pooled, name] + extra, "/fc", dilations=[1, 1], group=1,
                          kernel_shape=[1, 1], pads=[0] * 4, strides=[1, 1])
            return self.node("Flatten", [y], "", output, axis=1)
        flat = self.node("Flatten", [pooled], "", axis=1)
        if kind == "gemm":
            name = self.constant("fc.weight", weight)
            return self.node("Gemm", [flat, name] + extra, "/fc", output,
                             alpha=1.0, beta=1.0, transB=1)
        name = self.constant("fc.weight", weight.T)
        if not bias:
            return self.node("MatMul", [flat, name], "/fc", output)
        y = self.node("MatMul", [flat, name], "/fc")
        return self.node("Add", [y] + extra, "/fc", output)


def module_path(prefix):
    """Turn a parameter prefix into the node path of torch's exporter.

    "layer1.0.conv1" becomes "/layer1/layer1.0/conv1", since the exporter names
    a member of a Sequential after the Sequential.
    """
    parts, path = prefix.split("."), ""
    for i, part in enumerate(parts):
        path += "/" + (f"{parts[i - 1]}.{part}" if part.isdigit() else part)
    return path


def check_arguments(opset, ir, form, bn, head, head_bias):
    """Refuse what cannot be written, rather than write something else."""
    if opset not in IR_OF_OPSET:
        raise ValueError(f"opset {opset} is not in 9..21")
    if ir is not None and ir < 3:
        raise ValueError("the IR version must be at least 3")
    if form not in ("imagenet", "cifar") or bn not in ("kept", "folded"):
        raise ValueError(f"unknown form {form!r} or bn {bn!r}")
    if head not in ("gemm", "conv", "matmul"):
        raise ValueError(f"unknown head {head!r}")
    if head == "gemm" and not head_bias and opset < 11:
        raise ValueError("Gemm needs a bias before opset 11; choose head matmul or conv")


def make_resnet(depth=18, form="cifar", bn="kept", classes=None, width=1.0, opset=17,
                ir=None, input_size=None, channels=3, batch="N", head="gemm",
                head_bias=True, softmax=False, seed=0):
    """Return a ResNet as a ModelProto; the arguments are those of the command line.

    input_size is (height, width), and batch a number or the name of a free
    dimension.
    """
    check_arguments(opset, ir, form, bn, head, head_bias)
    imagenet = form == "imagenet"
    classes = classes or (1000 if imagenet else 10)
    input_size = input_size or ((224, 224) if imagenet else (32, 32))
    stem, stages, bottleneck = stage_plan(depth, width)
    builder = Builder(bn, opset, seed, sum(blocks for blocks, _ in stages))

    # The sample has a size of its own, so that the weights do not depend on
    # the size of the input.
    side = 128 if imagenet else 32
    sample = np.random.default_rng([seed, 1]).standard_normal((2, channels, side, side))
    x = builder.conv_bn(Value("input", sample), "conv1", "bn1", stem,
                        7 if imagenet else 3, 2 if imagenet else 1)
    x = builder.relu(x, "/relu")
    if imagenet:
        x = builder.pool(x)
    for s, (blocks, planes) in enumerate(stages):
        for b in range(blocks):
            stride = 2 if s > 0 and b == 0 else 1
            x = builder.block(x, f"layer{s + 1}.{b}", planes, stride, bottleneck)
    output = builder.head(x, classes, head, head_bias, "logits")
    if softmax:
        output = builder.node("Softmax", [output], "", "probabilities", axis=1)

    shape = [batch, channels, *input_size]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, classes])]
    ir = ir or IR_OF_OPSET[opset]
    if ir < 4:
        # Before IR 4 every initialiser is the default of a graph input.
        inputs += [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.dims)
                   for t in builder.initializers]
    graph = helper.make_graph(builder.nodes, f"resnet{depth}", inputs, outputs,
                              builder.initializers)
    return helper.make_model(graph, ir_version=ir, producer_name="make_resnet",
                             opset_imports=[helper.make_opsetid("", opset)])


def size_argument(text):
    """Parse HxW."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def batch_argument(text):
    """Parse a batch size, or keep the name of a free dimension."""
    return int(text) if text.isdigit() else text


def parse_arguments(argv):
    """Describe and read the command line."""
    p = argparse.ArgumentParser(description="Write a ResNet with random weights as ONNX.")
    p.add_argument("--depth", type=int, default=18,
                   help="18, 34, 50, 101, 152, or 6n+2 for the small CIFAR networks")
    p.add_argument("--form", choices=["imagenet", "cifar"], default="cifar",
                   help="7x7 stem and max-pool for 224x224, or 3x3 stem for 32x32")
    p.add_argument("--bn", choices=["kept", "folded"], default="kept",
                   help="keep BatchNormalization, or fold it into the convolutions")
    p.add_argument("--classes", type=int, help="default 1000 (imagenet) or 10 (cifar)")
    p.add_argument("--width", type=float, default=1.0, metavar="FACTOR",
                   help="scales the number of channels (at least 4 remain)")
    p.add_argument("--opset", type=int, default=17, help="9 to 21")
    p.add_argument("--ir", type=int,
                   help="IR version; 3 lists the initialisers as graph inputs too")
    p.add_argument("--input-size", type=size_argument, metavar="HxW")
    p.add_argument("--channels", type=int, default=3, help="channels of the input")
    p.add_argument("--batch", type=batch_argument, default="N",
                   help="a number, or the name of a free dimension")
    p.add_argument("--head", choices=["gemm", "conv", "matmul"], default="gemm")
    p.add_argument("--no-head-bias", dest="head_bias", action="store_false")
    p.add_argument("--softmax", action="store_true", help="append a Softmax")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("-o", "--output", required=True, metavar="FILE")
    return p.parse_args(argv)


def main(argv=None):
    """Write the network that the command line describes."""
    arguments = vars(parse_arguments(argv))
    path = arguments.pop("output")
    try:
        model = make_resnet(**arguments)
    except ValueError as error:
        sys.exit(f"make_resnet: {error}")
    onnx.save(model, path)


if __name__ == "__main__":
    main()
