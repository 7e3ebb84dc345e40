# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Models by what their layers compute: every operator and each form it comes in."""

import numpy as np
from helper_graph import CLASSES, FLOAT, model
from onnx import TensorProto, helper


# ---- windows

@model()
def asymmetric_pads(g):
    x = g.relu(g.conv("input", 3, 4, pads=[0, 1, 2, 1]))
    x = g.relu(g.conv(x, 4, 4, stride=2, pads=[0, 0, 1, 1]))
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    return g.model(g.tail(x, 4))


@model(opset=11, side=17)
def auto_pad(g):
    x = g.relu(g.conv("input", 3, 4, stride=2, auto_pad="SAME_UPPER", kernel_shape=False))
    x = g.relu(g.conv(x, 4, 4, stride=2, auto_pad="SAME_LOWER", kernel_shape=False))
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    x = g.node("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_LOWER")
    x = g.relu(g.conv(x, 4, 4, auto_pad="VALID", kernel_shape=False))
    return g.model(g.tail(g.conv(x, 4, 4, k=1, auto_pad="NOTSET", kernel_shape=False), 4))


@model(opset=19, side=17)
def average_pools(g):
    x = g.stem()
    x = g.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1,
               count_include_pad=1)
    x = g.block(x, 4, 4)
    x = g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    x = g.node("AveragePool", x, kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    return g.model(g.tail(x, 4))


@model()
def max_pool_1x1_stride_2(g):
    x = g.block(g.stem(), 4, 4)
    side = g.node("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2])
    y = g.conv(g.relu(g.conv(x, 4, 4, stride=2)), 4, 4)
    return g.model(g.tail(g.relu(g.node("Add", y, side)), 4))


@model(opset=18, side=15)
def max_pools(g):
    x = g.stem()
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = g.node("MaxPool", x, kernel_shape=[2, 2], dilations=[2, 2])
    return g.model(g.tail(x, 4))


@model(opset=18)
def pads(g):
    """Every mode; set 18 can name the axes."""
    x = g.node("Pad", "input", g.ints(0, 0, 1, 2, 0, 0, 2, 1), mode="reflect")
    x = g.relu(g.conv(x, 3, 4, pads=[0, 0, 0, 0]))
    x = g.node("Pad", x, g.ints(1, 1, 1, 1), "", g.ints(-2, -1), mode="edge")
    x = g.relu(g.conv(x, 4, 4, pads=[0, 0, 0, 0]))
    x = g.node("Pad", x, g.ints(0, 0, -1, -1, 0, 0, 0, 0), g.floats(0.25))
    return g.model(g.tail(x, 4))


@model(opset=9)
def pad_attributes(g):
    """Set 9: the amounts are an attribute."""
    x = g.node("Pad", "input", mode="reflect", pads=[0, 0, 2, 2, 0, 0, 2, 2])
    x = g.node("Pad", g.relu(g.conv(x, 3, 4)), mode="constant", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.5)
    return g.model(g.tail(x, 4))


# ---- where weights come from

@model(opset=17)
def weights_behind(g):
    """Constant, Identity twice, Transpose, Reshape, Unsqueeze and Cast before a convolution or the last layer."""
    x = g.node("Conv", "input", g.constant(g.weight_values(4, 3, 3)), pads=[1, 1, 1, 1])
    inner = g.node("Identity", g.node("Identity", g.weight(4, 4, 3)))
    x = g.node("Conv", g.relu(x), inner, g.node("Identity", g.floats(g.vector(4))), pads=[1, 1, 1, 1])
    turned = g.node("Transpose", g.tensor(g.weight_values(4, 4, 3).transpose(2, 3, 1, 0).copy()), perm=[3, 2, 0, 1])
    y = g.node("Conv", g.relu(x), turned, pads=[1, 1, 1, 1])
    flat = g.node("Reshape", g.tensor(g.weight_values(4, 4, 3).reshape(4, -1)), g.ints(4, 4, 3, 3))
    y = g.node("Conv", g.relu(y), flat, pads=[1, 1, 1, 1])
    x = g.relu(g.node("Add", x, y))
    wide = g.node("Cast", g.tensor(g.weight_values(8, 4, 3).astype(np.float16)), to=FLOAT)
    x = g.relu(g.node("Conv", x, wide, strides=[2, 2], pads=[1, 1, 1, 1]))
    head = g.node("Unsqueeze", g.tensor(g.weight_values(8, 8, 1)[:, :, 0, 0]), g.ints(2, 3))
    x = g.relu(g.node("Conv", x, head))
    last = g.node("Transpose", g.floats(g.numbers.standard_normal((CLASSES, 8)) * 0.3), perm=[1, 0])
    return g.model(g.node("Add", g.node("MatMul", g.pool(x), last), g.constant(g.vector(CLASSES))))


@model(opset=13, named=False)
def empty_names(g):
    """Absent inputs in the middle and at the end, written as the empty name; node names empty."""
    x = g.node("Conv", "input", g.weight(4, 3, 3), "", pads=[1, 1, 1, 1])
    x = g.node("Clip", g.batch_norm(x, 4), "", g.floats(2.0))
    x = g.node("Clip", g.conv(x, 4, 4), g.floats(-0.5), "")
    x = g.node("Resize", x, "", g.floats([1, 1, 2, 2]), mode="nearest")
    x = g.block(x, 4, 8, 2)
    return g.model(g.node("Gemm", g.pool(x), g.floats(g.numbers.standard_normal((8, CLASSES)) * 0.3), ""))


@model(opset=15)
def weights_qdq_from_float(g):
    """As quantisation-aware training leaves it: float weight, QuantizeLinear, DequantizeLinear; a bias in int32."""
    def weight(m, c, k, axis=0):
        values = g.weight_values(m, c, k)
        scale = g.floats(np.abs(values).max((1, 2, 3)) / 127)
        zero = g.tensor(np.zeros(m, np.int8))
        quantised = g.node("QuantizeLinear", g.tensor(values), scale, zero, axis=axis)
        return g.node("DequantizeLinear", quantised, scale, zero, axis=axis)

    x = g.relu(g.node("Conv", "input", weight(4, 3, 3), pads=[1, 1, 1, 1]))
    bias = g.node("DequantizeLinear", g.tensor(np.array([120, -80, 30, 5], np.int32)), g.floats(np.float32(1e-3)))
    y = g.node("Conv", x, weight(4, 4, 3), bias, pads=[1, 1, 1, 1])
    return g.model(g.tail(g.relu(g.node("Add", x, y)), 4))


@model(opset=21)
def weights_int4_blocked(g):
    """Blocks of 2 input channels, 4-bit steps: set 21."""
    x = g.stem()
    steps = g.numbers.integers(-7, 8, (4, 4, 3, 3)).astype(np.int8)
    packed = helper.make_tensor("blocked", TensorProto.INT4, steps.shape, steps.ravel())
    g.tensors.append(packed)
    scale = g.floats(g.numbers.uniform(0.02, 0.06, (4, 2, 3, 3)))
    weight = g.node("DequantizeLinear", "blocked", scale, axis=1, block_size=2)
    y = g.node("Conv", x, weight, pads=[1, 1, 1, 1])
    return g.model(g.tail(g.relu(g.node("Add", x, y)), 4))


@model(opset=17)
def shared_weights(g):
    """One weight in two convolutions; another is also an ordinary number elsewhere; the last layer's too."""
    x = g.stem()
    shared = g.weight(4, 4, 3)
    y = g.relu(g.node("Conv", x, shared, pads=[1, 1, 1, 1]))
    x = g.relu(g.node("Add", x, g.node("Conv", y, shared, pads=[1, 1, 1, 1])))
    weight = g.weight(8, 4, 3)
    x = g.relu(g.node("Conv", x, weight, strides=[2, 2], pads=[1, 1, 1, 1]))
    g.nodes.append(helper.make_node("Neg", [weight], ["negative"], "negate"))
    features = g.pool(x)
    last = g.floats(g.numbers.standard_normal((8, CLASSES)) * 0.3)
    bias = g.floats(g.vector(CLASSES))
    g.nodes.append(helper.make_node("Gemm", [g.node("Neg", features), last, bias], ["other"], "other_head"))
    return g.model(g.node("Gemm", features, last, bias), ("negative", FLOAT, [8, 4, 3, 3]),
                   ("other", FLOAT, ["N", CLASSES]))


@model(opset=13)
def typed_fields(g):
    """float_data, int64_data and, through a Cast, double_data and float16 in int32_data."""
    def typed(values, kind):
        name = g.fresh("typed")
        g.tensors.append(helper.make_tensor(name, kind, values.shape, values.ravel()))
        return name

    x = g.relu(g.node("Conv", "input", typed(g.weight_values(4, 3, 3), FLOAT), pads=[1, 1, 1, 1]))
    double = g.node("Cast", typed(g.weight_values(4, 4, 3).astype(np.float64), TensorProto.DOUBLE), to=FLOAT)
    half = g.node("Cast", typed(g.weight_values(4, 4, 3).astype(np.float16), TensorProto.FLOAT16), to=FLOAT)
    y = g.node("Conv", x, double, pads=[1, 1, 1, 1])
    y = g.node("Conv", g.relu(y), half, typed(g.vector(4), FLOAT), pads=[1, 1, 1, 1])
    x = g.block(g.relu(g.node("Add", x, y)), 4, 8, 2)
    x = g.node("Reshape", g.node("GlobalAveragePool", x), typed(np.array([0, -1]), TensorProto.INT64))
    return g.model(g.gemm(x, 8))


# ---- BatchNorm where it cannot be folded

@model(opset=15)
def batch_norm_everywhere(g):
    x = g.relu(g.conv(g.batch_norm("input", 3), 3, 4))
    x = g.batch_norm(g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 4)
    y = g.batch_norm(g.conv(g.relu(x), 4, 4), 4, epsilon=1e-3)
    x = g.batch_norm(g.node("Add", x, y), 4, momentum=0.8)
    x = g.gemm(g.pool(g.block(x, 4, 8, 2)), 8, 8)
    return g.model(g.gemm(g.relu(g.batch_norm(x, 8)), 8))


@model(opset=13)
def batch_norm_decomposed(g):
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, the square root computed in the graph."""
    def norm(x, c):
        shape = (1, c, 1, 1)
        variance = g.floats(g.vector(c, 0.5, 1.5).reshape(shape))
        deviation = g.node("Sqrt", g.node("Add", variance, g.floats(1e-5)))
        x = g.node("Div", g.node("Sub", x, g.floats(g.vector(c).reshape(shape))), deviation)
        x = g.node("Mul", g.floats(g.vector(c, 0.6, 1.2).reshape(shape)[0]), x)
        return g.node("Add", x, g.floats(g.vector(c).reshape(shape)))

    x = g.relu(norm(g.conv("input", 3, 4, bias=False), 4))
    y = norm(g.conv(x, 4, 4, bias=False), 4)
    return g.model(g.tail(g.relu(g.node("Add", x, y)), 4))


@model(opset=17)
def instance_norm(g):
    x = g.relu(g.node("InstanceNormalization", g.conv("input", 3, 4), g.floats(g.vector(4, 0.6, 1.2)),
                      g.floats(g.vector(4)), epsilon=1e-4))
    return g.model(g.tail(g.block(x, 4, 4), 4))


@model(opset=18)
def group_norm_18(g):
    """Set 18: scale and offset of each group."""
    x = g.relu(g.node("GroupNormalization", g.conv("input", 3, 8), g.floats(g.vector(4, 0.6, 1.2)),
                      g.floats(g.vector(4)), num_groups=4))
    return g.model(g.tail(x, 8))


@model(opset=21)
def group_norm_21(g):
    """Set 21: of each channel."""
    x = g.relu(g.node("GroupNormalization", g.conv("input", 3, 8), g.floats(g.vector(8, 0.6, 1.2)),
                      g.floats(g.vector(8)), num_groups=2, epsilon=1e-3))
    return g.model(g.tail(x, 8))


# ---- heads and reductions

@model(opset=13)
def gemm_forms(g):
    """transB = 0, alpha and beta, a bias of [1, M] and of one number."""
    x = g.pool(g.block(g.stem(), 4, 8, 2))
    x = g.relu(g.gemm(x, 8, 8, transB=0, alpha=0.5, beta=2.0))
    weight = g.floats(g.numbers.standard_normal((8, 8)) * 0.4)
    x = g.relu(g.node("Gemm", x, weight, g.floats(0.125), transB=1, beta=0.5))
    last = g.floats(g.numbers.standard_normal((8, CLASSES)) * 0.4)
    return g.model(g.node("Gemm", x, last, g.floats(g.vector(CLASSES).reshape(1, -1)), alpha=1.5))


@model(opset=13)
def reduce_mean_attribute(g):
    x = g.block(g.stem(), 4, 8, 2)
    gate = g.node("Sigmoid", g.conv(g.node("ReduceMean", x, axes=[-1, -2], keepdims=1), 8, 8, 1))
    return g.model(g.gemm(g.node("ReduceMean", g.node("Mul", x, gate), axes=[2, -1], keepdims=0), 8))


@model(opset=18)
def reduce_mean_input(g):
    x = g.block(g.stem(), 4, 8, 2)
    gate = g.node("Sigmoid", g.conv(g.node("ReduceMean", x, g.ints(-2, 3)), 8, 8, 1))
    rows = g.node("ReduceMean", g.node("Mul", x, gate), g.ints(3), keepdims=0)
    return g.model(g.gemm(g.node("ReduceMean", rows, g.ints(-1), keepdims=0), 8))


@model(opset=13)
def reduce_sum(g):
    x = g.block(g.stem(), 4, 8, 2)
    x = g.node("ReduceSum", x, g.ints(2, 3), keepdims=0)
    return g.model(g.gemm(g.node("Div", x, g.floats(64.0)), 8))


@model(opset=15)
def reshapes(g):
    """Targets computed in the graph, with a part of the Shape, 0 and allowzero."""
    x = g.block(g.stem(), 4, 8, 2)
    batch = g.node("Shape", x, start=0, end=1)
    channels = g.node("Slice", g.node("Shape", x), g.ints(1), g.ints(2))
    x = g.node("Reshape", x, g.node("Concat", batch, channels, g.ints(8, 8), axis=0), allowzero=1)
    x = g.node("Reshape", g.conv(x, 8, 8), g.ints(0, 0, 0, -1))
    side = g.node("Gather", g.node("Shape", x), g.ints(2, 3))
    count = g.node("ReduceProd", side, keepdims=1)
    x = g.node("Reshape", g.relu(x), g.node("Concat", batch, channels, count, axis=0))
    x = g.node("ReduceMean", x, axes=[2], keepdims=1)
    return g.model(g.gemm(g.node("Reshape", x, g.ints(0, -1)), 8))


@model(opset=13)
def flatten_of_pixels(g):
    """The head reads every pixel, channel after channel."""
    x = g.node("AveragePool", g.block(g.stem(), 4, 8, 2), kernel_shape=[2, 2], strides=[2, 2])
    return g.model(g.gemm(g.node("Flatten", x), 8 * 4 * 4))


@model(opset=13)
def flatten_of_pixels_last(g):
    """The same, channels last, as a Keras Flatten is written."""
    x = g.node("AveragePool", g.block(g.stem(), 4, 8, 2), kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Reshape", g.node("Transpose", x, perm=[0, 2, 3, 1]), g.ints(-1, 8 * 4 * 4))
    weight = g.floats(g.numbers.standard_normal((8 * 4 * 4, CLASSES)) * 0.1)
    return g.model(g.node("Add", g.node("MatMul", x, weight), g.floats(g.vector(CLASSES))))


@model(opset=11)
def head_of_convolution(g):
    """Classes first, then the mean: logits are a global average."""
    x = g.conv(g.block(g.stem(), 4, 8, 2), 8, CLASSES, 1)
    x = g.node("Squeeze", g.node("GlobalAveragePool", x), axes=[2, 3])
    return g.model(g.node("Softmax", x, axis=1))


@model(opset=11)
def log_softmax_coerced(g):
    """Before set 13 the axis flattens; with a rank-2 input 1 and -1 are the same."""
    return g.model(g.node("LogSoftmax", g.tail(g.stem(), 4), axis=-1))


# ---- arithmetic

@model(opset=13)
def sums(g):
    x = g.stem()
    y, z = g.conv(x, 4, 4), g.conv(x, 4, 4, 1)
    x = g.relu(g.node("Sum", y, x, z))
    return g.model(g.tail(g.node("Sum", x), 4))


@model(opset=13)
def arithmetic(g):
    """Constants on either side, of every shape that broadcasts; two activations; a gate of one value per channel."""
    x = g.node("Div", g.node("Sub", "input", g.floats([[[0.4]], [[0.5]], [[0.3]]])), g.floats(0.25))
    x = g.node("Mul", g.floats(0.5), g.relu(g.conv(x, 3, 4)))
    x = g.node("Sub", g.floats(g.vector(4).reshape(1, 4, 1, 1)), x)
    y = g.node("Mul", g.conv(x, 4, 4), g.node("Sigmoid", g.conv(x, 4, 4, 1)))
    y = g.node("Sub", y, x)
    gate = g.node("Sigmoid", g.conv(g.node("GlobalAveragePool", y), 4, 4, 1))
    y = g.node("Add", g.node("Mul", gate, y), g.node("Mul", g.node("GlobalAveragePool", x), g.floats(0.5)))
    y = g.node("Div", y, g.node("Add", g.node("Sigmoid", x), g.floats(1.0)))
    x = g.tail(y, 4)
    return g.model(g.node("Mul", g.node("Add", x, g.floats(0.1)), g.floats(2.0)))


@model(opset=20)
def activations(g):
    x = g.node("HardSwish", g.conv("input", 3, 4))
    x = g.node("Gelu", g.conv(x, 4, 4))
    x = g.node("Elu", g.conv(x, 4, 4), alpha=0.7)
    x = g.node("Erf", g.conv(x, 4, 4))
    x = g.node("PRelu", g.conv(x, 4, 4), g.floats([0.1]))
    x = g.node("PRelu", g.conv(x, 4, 4), g.floats(g.vector(4, 0, 0.4).reshape(4, 1, 1)))
    x = g.node("LeakyRelu", g.conv(x, 4, 4), alpha=0.05)
    x = g.node("HardSigmoid", g.conv(x, 4, 4), alpha=0.25, beta=0.4)
    x = g.node("Gelu", g.conv(x, 4, 4), approximate="tanh")
    x = g.node("Sqrt", g.node("Add", g.node("Sigmoid", x), g.floats(0.5)))
    return g.model(g.tail(x, 4))


@model(opset=10)
def clip_attributes(g):
    x = g.node("Clip", g.conv("input", 3, 4), min=0.0, max=6.0)
    return g.model(g.tail(g.node("Clip", g.conv(x, 4, 4), min=-0.5), 4))


@model(opset=13)
def dropouts(g):
    """Set 12 and later: the ratio is an input; the mask is not used."""
    x = g.node("Dropout", g.stem(), g.floats(0.3))
    x = g.block(x, 4, 8, 2)
    features, _ = g.node("Dropout", g.pool(x), g.floats(0.5), g.tensor(np.array(False)), outputs=2)
    return g.model(g.gemm(features, 8))


# ---- shuffling

@model(opset=13)
def transposes(g):
    """A stretch of the network is channels last, with a BatchNorm as Mul and Add and a Sigmoid gate."""
    x = g.node("Transpose", g.conv("input", 3, 4), perm=[0, 2, 3, 1])
    x = g.node("Add", g.node("Mul", x, g.floats(g.vector(4, 0.6, 1.2))), g.floats(g.vector(4)))
    x = g.relu(x)
    mean = g.node("ReduceMean", x, axes=[1, 2], keepdims=1)
    x = g.node("Mul", x, g.node("Sigmoid", mean))
    x = g.node("Transpose", x, perm=[0, 3, 1, 2])
    return g.model(g.tail(x, 4))


@model(opset=13)
def split_concat(g):
    left, right = g.node("Split", g.relu(g.conv("input", 3, 8)), g.ints(3, 5), outputs=2, axis=1)
    x = g.node("Concat", g.relu(g.conv(right, 5, 5)), left, g.conv(left, 3, 2, 1), axis=1)
    return g.model(g.tail(x, 10))


@model(opset=18)
def split_count(g):
    parts = g.node("Split", g.relu(g.conv("input", 3, 8)), outputs=3, axis=-3, num_outputs=3)
    widths = (3, 3, 2)
    x = g.node("Concat", *(g.relu(g.conv(part, c, 2)) for part, c in zip(parts, widths)), axis=-3)
    return g.model(g.tail(x, 6))


@model(opset=9)
def split_slice_attributes(g):
    """Set 9: sizes, starts and ends are attributes."""
    left, right = g.node("Split", g.relu(g.conv("input", 3, 6)), outputs=2, axis=1, split=[2, 4])
    x = g.node("Concat", g.conv(left, 2, 2), right, axis=1)
    x = g.node("Slice", x, axes=[2, 3], starts=[1, 0], ends=[-1, 14])
    return g.model(g.tail(x, 6))


@model(opset=13)
def slices(g):
    x = g.stem(8)
    x = g.node("Slice", x, g.ints(0, 1), g.ints(2 ** 63 - 1, -1), g.ints(2, 3), g.ints(2, 1))
    x = g.node("Slice", x, g.ints(6), g.ints(0), g.ints(1), g.ints(-2))
    return g.model(g.tail(x, 3))


@model(opset=13)
def resizes(g):
    x = g.stem()
    x = g.node("Resize", x, "", g.floats([1, 1, 2, 2]), mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor")
    x = g.relu(g.conv(x, 4, 4, stride=2))
    x = g.node("Resize", x, "", "", g.node("Concat", g.node("Slice", g.node("Shape", x), g.ints(0), g.ints(2)),
                                           g.ints(24, 20), axis=0), mode="linear")
    x = g.relu(g.conv(x, 4, 4))
    x = g.node("Resize", x, "", g.floats([1, 1, 0.5, 0.5]), mode="linear")
    size = g.node("Concat", g.node("Slice", g.node("Shape", x), g.ints(0), g.ints(2)), g.ints(8, 9), axis=0)
    x = g.node("Resize", x, "", "", size, mode="linear", coordinate_transformation_mode="align_corners")
    return g.model(g.tail(x, 4))


@model(opset=9)
def upsample(g):
    x = g.node("Upsample", g.stem(), g.floats([1, 1, 2, 2]), mode="nearest")
    x = g.relu(g.conv(x, 4, 4, stride=2))
    return g.model(g.tail(g.node("Upsample", x, g.floats([1, 1, 1.5, 1.5]), mode="linear"), 4))


@model(opset=15)
def expand_cast_like(g):
    x = g.block(g.stem(), 4, 4)
    gate = g.node("Sigmoid", g.node("GlobalAveragePool", x))
    gate = g.node("Expand", gate, g.node("Shape", x))
    x = g.node("Mul", x, g.node("CastLike", gate, x))
    x = g.node("Add", x, g.node("CastLike", g.tensor(np.array(0.5, np.float64)), x))
    x = g.node("Mul", x, g.node("Expand", g.floats([0.5]), g.ints(4, 1, 1)))
    return g.model(g.tail(x, 4))


@model(opset=13)
def squeezes(g):
    x = g.node("GlobalAveragePool", g.block(g.stem(), 4, 8, 2))
    x = g.node("Squeeze", x, g.ints(3))
    x = g.node("Unsqueeze", g.node("Squeeze", x, g.ints(-1)), g.ints(2, -1))
    x = g.relu(g.conv(x, 8, 8, 1))
    return g.model(g.gemm(g.node("Squeeze", x, g.ints(2, 3)), 8))


@model(opset=13)
def groups(g):
    """Grouped, depthwise (no adapter) and a kernel that is not square."""
    x = g.stem(8)
    x = g.relu(g.conv(x, 8, 8, group=2))
    x = g.relu(g.conv(x, 8, 8, group=8))
    x = g.node("Conv", x, g.tensor(g.weight_values(8, 8, 1, 5)), pads=[0, 2, 0, 2])
    x = g.node("Conv", g.relu(x), g.tensor(g.weight_values(8, 8, 3, 2)), pads=[1, 0, 1, 1], dilations=[1, 1])
    return g.model(g.tail(g.relu(x), 8))
