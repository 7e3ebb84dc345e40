# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Models by what stands around their layers: names, other outputs, functions, types; and what is refused."""

import numpy as np
import onnx
from helper_graph import CLASSES, FLOAT, model
from onnx import TensorProto, helper, numpy_helper, shape_inference


# ---- names and what is only passed through

@model(opset=13)
def names_that_clash(g):
    """Nodes named as other nodes' outputs, and names that inject would choose."""
    x = g.stem()
    weight = g.tensor(g.weight_values(4, 4, 3), "block/Conv/lora_A")
    g.nodes.append(helper.make_node("Conv", [x, weight], ["block/Conv/lora_MatMul_output"], "block/Conv",
                                    pads=[1, 1, 1, 1]))
    g.nodes.append(helper.make_node("Relu", ["block/Conv/lora_MatMul_output"], ["block/Conv"], "block/Conv/lora_B"))
    x = g.conv("block/Conv", 4, 4)
    g.nodes[-1].name = "block/Conv/lora_MatMul_output"
    return g.model(g.tail(g.relu(x), 4))


@model(opset=13, named=False)
def unnamed_with_value_info(g):
    """No node has a name; every value has its shape on record."""
    built = shape_inference.infer_shapes(g.model(g.tail(g.block(g.stem(), 4, 4), 4)), strict_mode=True)
    assert len(built.graph.value_info) > 10
    return built


@model(opset=13)
def sparse_passed_through(g):
    """A sparse initialiser that feeds another output."""
    x = g.pool(g.block(g.stem(), 4, 8, 2))
    values = numpy_helper.from_array(np.array([0.5, -1.5, 2.0], np.float32), "sparse")
    places = numpy_helper.from_array(np.array([1, 9, 30], np.int64), "sparse_indices")
    g.sparse.append(helper.make_sparse_tensor(values, places, [8, CLASSES]))
    g.nodes.append(helper.make_node("MatMul", [x, "sparse"], ["other"], "other_head"))
    return g.model(g.gemm(x, 8), ("other", FLOAT, ["N", CLASSES]))


@model(opset=13)
def subgraph_passed_through(g):
    """An If, with graphs that read the outer one, feeds another output."""
    x = g.pool(g.block(g.stem(), 4, 8, 2))
    y = g.gemm(x, 8)
    weight = g.tensors[2].name  # of the block's first convolution
    branches = [helper.make_graph([helper.make_node(op, [y], [f"{op}_result"], f"inner_{op}")], f"{op}_branch", [],
                                  [helper.make_tensor_value_info(f"{op}_result", FLOAT, None)])
                for op in ("Neg", "Abs")]
    size = helper.make_node("Size", [weight], ["weight_size"], "size")
    condition = helper.make_node("Greater", ["weight_size", g.ints(3)], ["condition"], "greater")
    test = helper.make_node("If", ["condition"], ["other"], "if", then_branch=branches[0], else_branch=branches[1])
    flat = helper.make_node("Squeeze", ["condition"], ["flat"], "flat")
    test.input[0] = "flat"
    g.nodes += [size, condition, flat, test]
    return g.model(y, ("other", FLOAT, ["N", CLASSES]))


@model(opset=13)
def label_output(g):
    """The class and its probability beside the logits: ArgMax, Softmax and TopK are only passed through."""
    y = g.tail(g.stem(), 4)
    p = g.node("Softmax", y, axis=1)
    g.nodes.append(helper.make_node("TopK", [p, g.ints(1)], ["best", "label"], "top", axis=1))
    return g.model(y, ("best", FLOAT, ["N", 1]), ("label", TensorProto.INT64, ["N", 1]))


@model(opset=7, ir=3)
def ir_3(g):
    """IR 3, set 7: every initialiser is an input, Dropout and BatchNorm in their old forms."""
    x = g.relu(g.batch_norm(g.conv("input", 3, 4, bias=False), 4))
    x = g.block(x, 4, 8, 2)
    return g.model(g.gemm(g.node("Dropout", g.pool(x), ratio=0.4), 8))


@model(opset=17, batch=1)
def fixed_batch_literal(g):
    """Exported for one image, with the 1 in every Reshape."""
    x = g.node("Reshape", g.stem(), g.ints(1, 4, 16, 16))
    x = g.node("GlobalAveragePool", g.block(x, 4, 8, 2))
    return g.model(g.gemm(g.node("Reshape", x, g.ints(1, 8)), 8))


# ---- functions

@model(opset=17)
def functions(g):
    """A block as a local function with attributes of its own, which calls another."""
    g.domains["vendor.blocks"] = 1
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("vendor.blocks", 1)]
    act = helper.make_function("vendor.blocks", "Swish", ["x"], ["y"],
                               [helper.make_node("Sigmoid", ["x"], ["gate"], "gate"),
                                helper.make_node("Mul", ["x", "gate"], ["y"], "mul")], imports[:1])
    conv = helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1])
    strides = conv.attribute.add()
    strides.name, strides.ref_attr_name, strides.type = "strides", "strides", onnx.AttributeProto.INTS
    block = helper.make_function(
        "vendor.blocks", "ConvNormAct", ["x", "w", "scale", "offset", "mean", "variance"], ["y"],
        [conv, helper.make_node("BatchNormalization", ["c", "scale", "offset", "mean", "variance"], ["n"], "norm"),
         helper.make_node("Swish", ["n"], ["y"], "act", domain="vendor.blocks")], imports, ["strides"])
    g.functions += [act, block]

    def call(x, c, m, stride):
        statistics = [g.floats(g.vector(m, low, high)) for low, high in ((0.6, 1.2), (-0.2, 0.2), (-0.3, 0.3),
                                                                         (0.5, 1.5))]
        return g.node("ConvNormAct", x, g.weight(m, c, 3), *statistics, domain="vendor.blocks",
                      strides=[stride, stride])

    x = call("input", 3, 4, 1)
    x = g.node("Add", call(call(x, 4, 4, 1), 4, 4, 1), x)
    return g.model(g.gemm(g.pool(call(x, 4, 8, 2)), 8))


# ---- types

@model(opset=17, kind=np.float16)
def half_typed(g):
    """float16 throughout, stored as int32_data, with a Cast to float32 before the Softmax."""
    y = g.node("Cast", g.tail(g.block(g.batch_norm(g.stem(), 4), 4, 4), 4), to=FLOAT)
    y = g.node("Cast", g.node("Softmax", y, axis=-1), to=TensorProto.FLOAT16)
    g.tensors = [helper.make_tensor(t.name, t.data_type, t.dims, numpy_helper.to_array(t).ravel())
                 if t.data_type == TensorProto.FLOAT16 else t for t in g.tensors]
    return g.model(y)


# ---- refused

@model(opset=17)
def refused_if(g):
    """The trained path leads through an If, though of a constant, as scripted modules are exported."""
    x = g.stem()
    branches = [helper.make_graph([helper.make_node(op, [x], [f"{op}_result"], f"inner_{op}")], f"{op}_branch", [],
                                  [helper.make_tensor_value_info(f"{op}_result", FLOAT, None)])
                for op in ("Abs", "Relu")]
    x = g.node("If", g.tensor(np.array(True)), name="gate", then_branch=branches[0], else_branch=branches[1])
    return g.model(g.tail(x, 4))


@model(opset=17)
def refused_conv_3d(g):
    g.input_shape = [g.batch, 3, 4, 8, 8]
    weight = g.tensor(g.numbers.standard_normal((4, 3, 3, 3, 3)).astype(np.float32) * 0.2)
    x = g.relu(g.node("Conv", "input", weight, pads=[1] * 6, name="video"))
    return g.model(g.gemm(g.pool(x), 4))


@model(opset=17)
def refused_custom_domain(g):
    """An operator of onnxruntime's own in the middle."""
    g.domains["com.microsoft"] = 1
    x = g.node("QuickGelu", g.stem(), domain="com.microsoft", name="fused", alpha=1.702)
    return g.model(g.tail(x, 4))


@model(opset=17, batch=1)
def refused_weight_from_activation(g):
    """The kernel is the image itself."""
    x = g.stem()
    y = g.node("Conv", x, g.relu(x), name="dynamic")
    x = g.node("Mul", x, g.node("Sigmoid", y))
    return g.model(g.tail(x, 4))


@model(opset=17)
def refused_uint8_input(g):
    """Pixels as bytes, turned to float inside."""
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 3, 16, 16])]
    g.nodes.append(helper.make_node("Cast", ["pixels"], ["input"], "cast", to=FLOAT))
    return g.model(g.tail(g.node("Mul", g.stem(), g.floats(1 / 255)), 4), inputs=inputs)


@model(opset=17)
def refused_loop(g):
    x = g.stem()
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Relu", ["state"], ["next"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", 9, []),
         helper.make_tensor_value_info("state", FLOAT, None)],
        [helper.make_tensor_value_info("go_on", 9, []), helper.make_tensor_value_info("next", FLOAT, None)])
    x = g.node("Loop", g.tensor(np.array(2)), g.tensor(np.array(True)), x, name="repeat", body=body)
    return g.model(g.tail(x, 4))
