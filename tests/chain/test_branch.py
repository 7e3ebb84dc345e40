# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The branch form of an adapter: another engine computes from it what it computes from the weight form, before and
after training, and both train, merge and read alike."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from make_resnet import make_resnet
from onnx import TensorProto, helper, numpy_helper
from support import (good, initializers, is_valid, metadata, onnxruntime_outputs, our_outputs, random_images,
                     relative_error, run)
from training_log import losses_of

# The branch sums in another order than the weight form: products of some hundred terms, in float32.
FORMS_RELATIVE = 1e-5

FLOAT16_RELATIVE = 1e-2  # each activation has 11 bits

NEWEST = 25  # of the opsets that the onnxruntime of these tests runs


def conv_case(k, channels, outputs, group=1, opset=17, **others):
    return dict(k=(k, k) if isinstance(k, int) else k, channels=channels, outputs=outputs, group=group, opset=opset,
                **others)


CASES = {
    "1x1": conv_case(1, 6, 8),
    "1x1-stride2": conv_case(1, 6, 8, strides=[2, 2]),
    "3x3": conv_case(3, 6, 8, pads=[1, 1, 1, 1]),
    "3x3-indivisible": conv_case(3, 7, 8, pads=[1, 1, 1, 1]),
    "3x3-few-channels": conv_case(3, 2, 8, pads=[1, 1, 1, 1]),
    "3x3-one-channel": conv_case(3, 1, 8, pads=[1, 1, 1, 1]),
    "3x3-stride2": conv_case(3, 6, 8, strides=[2, 2], pads=[1, 1, 1, 1]),
    "3x3-dilated": conv_case(3, 8, 4, dilations=[2, 2], pads=[2, 2, 2, 2]),
    "3x3-asymmetric": conv_case(3, 5, 4, pads=[0, 2, 1, 0], strides=[2, 1]),
    "3x3-same-upper": conv_case(3, 5, 4, auto_pad="SAME_UPPER", strides=[2, 2]),
    "3x3-same-lower": conv_case(3, 6, 4, auto_pad="SAME_LOWER", strides=[2, 2]),
    "3x3-valid": conv_case(3, 6, 4, auto_pad="VALID"),
    "3x3-bare": conv_case(3, 6, 4, kernel_shape=False, bias=False),
    "5x5": conv_case(5, 7, 6, pads=[2, 2, 2, 2]),
    "5x5-divisible": conv_case(5, 10, 6, pads=[2, 2, 2, 2]),
    "7x7-stride2": conv_case(7, 9, 6, pads=[3, 3, 3, 3], strides=[2, 2]),
    "1x3": conv_case((1, 3), 5, 6, pads=[0, 1, 0, 1]),
    "3x1": conv_case((3, 1), 5, 6, pads=[1, 0, 1, 0]),
    "2x5": conv_case((2, 5), 5, 6, pads=[1, 2, 0, 2]),
    "5x2": conv_case((5, 2), 3, 6, pads=[2, 1, 2, 0]),
    "1x1-groups": conv_case(1, 8, 12, group=4),
    "3x3-groups": conv_case(3, 8, 12, group=4, pads=[1, 1, 1, 1], strides=[2, 2]),
    "3x3-groups-indivisible": conv_case(3, 10, 6, group=2, pads=[1, 1, 1, 1]),
    "2x3-groups": conv_case((2, 3), 9, 6, group=3, pads=[1, 1, 0, 1]),
    "5x5-groups-dilated": conv_case(5, 6, 8, group=2, pads=[4, 4, 4, 4], dilations=[2, 2]),
    "plain-setting": conv_case(3, 7, 8, pads=[1, 1, 1, 1], setting="plain"),
    **{f"3x3-opset{opset}": conv_case(3, 7, 8, pads=[1, 1, 1, 1], opset=opset, ir=3 if opset < 10 else 8)
       for opset in (7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 19, 21, NEWEST)},
    "3x3-groups-opset7": conv_case(3, 8, 8, group=2, pads=[1, 1, 1, 1], opset=7, ir=3),
    "1x1-opset7": conv_case(1, 8, 8, opset=7, ir=3),
}


def conv_model(case):
    """stem 1x1 -> conv -> Relu, its output also added to itself -> pooled -> Gemm."""
    rng = np.random.default_rng(5)
    kh, kw = case["k"]
    channels, outputs, group = case["channels"], case["outputs"], case["group"]
    tensors = {
        "stem.w": rng.standard_normal((channels, 3, 1, 1)),
        "conv.w": rng.standard_normal((outputs, channels // group, kh, kw)) / np.sqrt(channels * kh * kw),
        "conv.b": rng.standard_normal(outputs),
        "fc.w": rng.standard_normal((4, outputs)),
        "fc.b": rng.standard_normal(4),
    }
    bias = case.get("bias", True)
    if not bias:
        del tensors["conv.b"]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()]
    attributes = {name: case[name] for name in ("strides", "dilations", "pads", "auto_pad") if name in case}
    if group != 1:
        attributes["group"] = group
    if case.get("kernel_shape", True):
        attributes["kernel_shape"] = [kh, kw]
    nodes = [
        helper.make_node("Conv", ["x", "stem.w"], ["stem.y"], name="stem"),
        helper.make_node("Conv", ["stem.y", "conv.w"] + ["conv.b"] * bias, ["y"], name="conv", **attributes),
        helper.make_node("Relu", ["y"], ["relu.y"], name="relu"),
        helper.make_node("Add", ["relu.y", "y"], ["sum"], name="sum"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc.w", "fc.b"], ["scores"], name="fc", transB=1),
    ]
    ir = case.get("ir", 8)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 11, 10])]
    if ir <= 3:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    graph = helper.make_graph(nodes, "g", inputs,
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", case["opset"])], ir_version=ir)


def branch_of_the_format(case):
    """The nodes and initialisers of 'conv''s branch, written down from docs/format.md without the library."""
    kh, kw = case["k"]
    M, group, opset = case["outputs"], case["group"], case["opset"]
    Cg, R = case["channels"] // group, 2 if case.get("setting") == "plain" else 2 * max(kh, kw)
    nodes, tensors = [], {}

    def ints(name, *values):
        tensors[f"conv/lora_{name}"] = values
        return f"conv/lora_{name}"

    def node(op, part, inputs, **attributes):
        name = "conv/lora_" + op + (f"_{part}" if part != "" else "")
        nodes.append(helper.make_node(op, inputs, [name + "_output"], name=name, **attributes))
        return name + "_output"

    def pad(a, left, right):
        pads = [0, left, 0, right]
        if left == right == 0:
            return "conv/lora_A"
        return node("Pad", a, ["conv/lora_A"], pads=pads) if opset < 11 else \
            node("Pad", a, ["conv/lora_A", ints(f"pads_{a}", *pads)])

    def slice_of(a, c0, c1):
        if (c0, c1) == (0, Cg):
            return "stem.y"
        if opset < 10:
            return node("Slice", a, ["stem.y"], axes=[1], starts=[c0], ends=[c1])
        return node("Slice", a, ["stem.y", ints(f"starts_{a}", c0), ints(f"ends_{a}", c1), ints("axes", 1)])

    conv = next(node for node in conv_model(case).graph.node if node.name == "conv")
    like_conv = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    if group == 1:
        parts, earlier = [], {}
        for a in range(kh):
            c0, c1 = a * Cg // kh, -(-(a + 1) * Cg // kh)
            left, right = (a * Cg - c0 * kh) * kw, (c1 * kh - (a + 1) * Cg) * kw
            if (left, c1 - c0) not in earlier:
                padded = pad(a, left, right)
                earlier[left, c1 - c0] = node("Reshape", a, [padded, ints(f"shape_{a}", R, c1 - c0, kh, kw)])
            parts.append(node("Conv", a, [slice_of(a, c0, c1), earlier[left, c1 - c0]], **like_conv))
        h = node("Concat", "", parts, axis=1) if kh > 1 else parts[0]
    else:
        rows = [pad(a, a * Cg * kw, (kh - 1 - a) * Cg * kw) for a in range(kh)]
        D = node("Concat", "", rows, axis=0) if kh > 1 else rows[0]
        D = node("Reshape", "down", [D, ints("shape_down", kh * R, Cg, kh, kw)])
        h = node("Conv", "down", ["stem.y", node("Tile", "", [D, ints("repeats", group, 1, 1, 1)])], **like_conv)
    up = node("Reshape", "up", ["conv/lora_B", ints("shape_up", M, kh * R, 1, 1)])
    h = node("Conv", "up", [h, up], kernel_shape=[1, 1], **({"group": group} if group > 1 else {}))
    node("Add", "", ["y", node("Mul", "", [h, "conv/lora_scale"])])
    return nodes, tensors


def text_of(node):
    attributes = sorted((a.name, repr(helper.get_attribute_value(a))) for a in node.attribute)
    return (node.op_type, node.name, list(node.input), list(node.output), attributes)


def set_adapters(path, out, seed=1):
    """Random A and B, the same for both forms."""
    model = onnx.load(path)
    for adapter in json.loads(metadata(model)["lorac.adapters"]):
        for name in (adapter["A"], adapter["B"]):
            tensor = initializers(model)[name]
            rng = np.random.default_rng([seed, *name.encode()])
            values = rng.standard_normal(list(tensor.dims)) * 0.3
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.save(model, out)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """A folder with plain, weight, branch (injected) and weight-set, branch-set (with random A and B)."""
    folder = tmp_path_factory.mktemp(request.param)
    parameters = CASES[request.param]
    onnx.save(conv_model(parameters), folder / "plain.onnx")
    for form in ("weight", "branch"):
        good("inject", folder / "plain.onnx", "-o", folder / f"{form}.onnx", "--form", form, "--seed", 3, "--rank", 2,
             "--rank-setting", parameters.get("setting", "kernel"))
        set_adapters(folder / f"{form}.onnx", folder / f"{form}-set.onnx")
    return folder


def test_valid(case):
    assert is_valid(case / "plain.onnx"), "a model of these tests is itself invalid"
    onnx.checker.check_model(str(case / "branch.onnx"), full_check=True)


def test_the_convolution_stays_as_it_is(case):
    plain, branch = onnx.load(case / "plain.onnx"), onnx.load(case / "branch.onnx")
    conv = next(node for node in plain.graph.node if node.name == "conv")
    assert conv in branch.graph.node
    kept = initializers(branch)
    assert all(kept[tensor.name] == tensor for tensor in plain.graph.initializer)
    record = metadata(branch)
    assert record["lorac.format"] == "2"
    assert [adapter["form"] for adapter in json.loads(record["lorac.adapters"])] == ["branch"]
    readers = [node for node in branch.graph.node if "y" in node.input]
    assert [node.name for node in readers] == ["conv/lora_Add"]


def test_as_the_format_says(case, request):
    nodes, tensors = branch_of_the_format(CASES[request.node.callspec.params["case"]])
    branch = onnx.load(case / "branch.onnx").graph
    at = [node.name for node in branch.node].index("conv") + 1
    assert [text_of(node) for node in branch.node[at:at + len(nodes)]] == [text_of(node) for node in nodes]
    added = [tensor for tensor in branch.initializer if tensor.name.startswith("conv/lora_")]
    assert [tensor.name for tensor in added[:3]] == ["conv/lora_A", "conv/lora_B", "conv/lora_scale"]
    assert {tensor.name: tuple(numpy_helper.to_array(tensor)) for tensor in added[3:]} == tensors
    assert all(tensor.data_type == TensorProto.INT64 and list(tensor.dims) == [len(tensors[tensor.name])]
               for tensor in added[3:])


def test_same_parameters_as_the_weight_form(case):
    weight, branch = initializers(onnx.load(case / "weight.onnx")), initializers(onnx.load(case / "branch.onnx"))
    for name in ("conv/lora_A", "conv/lora_B", "conv/lora_scale"):
        assert weight[name] == branch[name]


def test_same_outputs_when_injected(case):
    images = random_images(3, (3, 11, 10))
    plain = onnxruntime_outputs(case / "plain.onnx", images)
    assert np.array_equal(onnxruntime_outputs(case / "branch.onnx", images), plain)


def test_same_function_as_the_weight_form(case, figures, tmp_path):
    images = random_images(3, (3, 11, 10))
    weight = onnxruntime_outputs(case / "weight-set.onnx", images)
    plain = onnxruntime_outputs(case / "plain.onnx", images)
    assert relative_error(weight, plain) > 0.01, "the adapters say nothing"
    branch = onnxruntime_outputs(case / "branch-set.onnx", images)
    error = figures.largest("difference of the two forms", relative_error(branch, weight))
    assert error <= FORMS_RELATIVE
    np.save(tmp_path / "images.npy", images)
    ours = our_outputs(case / "branch-set.onnx", tmp_path / "images.npy", tmp_path)
    assert relative_error(ours, branch) <= FORMS_RELATIVE
    assert np.array_equal(ours, our_outputs(case / "weight-set.onnx", tmp_path / "images.npy", tmp_path))


def test_merge(case, tmp_path):
    good("merge", case / "branch.onnx", "-o", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (case / "plain.onnx").read_bytes()
    for form in ("weight", "branch"):
        good("merge", case / f"{form}-set.onnx", "-o", tmp_path / f"{form}.onnx")
    assert (tmp_path / "branch.onnx").read_bytes() == (tmp_path / "weight.onnx").read_bytes()
    images = random_images(3, (3, 11, 10))
    merged = onnxruntime_outputs(tmp_path / "branch.onnx", images)
    assert relative_error(merged, onnxruntime_outputs(case / "branch-set.onnx", images)) <= FORMS_RELATIVE


def test_training_gives_the_same_bits(case, tmp_path):
    np.save(tmp_path / "images.npy", random_images(8, (3, 11, 10)))
    np.save(tmp_path / "labels.npy", np.arange(8, dtype=np.int64) % 4)
    trained, losses = {}, {}
    for form in ("weight", "branch"):
        good("train", case / f"{form}-set.onnx", "-o", tmp_path / f"{form}.onnx", "--data", tmp_path / "images.npy",
             "--labels", tmp_path / "labels.npy", "--batch", 4, "--steps", 3, "--lr", 0.05, "--log",
             tmp_path / f"{form}.log", "--quiet", "--threads", 1)
        trained[form] = initializers(onnx.load(tmp_path / f"{form}.onnx"))
        losses[form] = losses_of(tmp_path / f"{form}.log")
    assert len(losses["branch"]) == 3 and losses["branch"] == losses["weight"]
    start = initializers(onnx.load(case / "branch-set.onnx"))
    for name in ("conv/lora_A", "conv/lora_B", "fc.w", "fc.b"):
        assert trained["branch"][name] == trained["weight"][name]
        assert trained["branch"][name] != start[name]


def test_without_the_record_it_is_only_a_graph(case, tmp_path):
    """A reader that knows nothing of adapters runs the same file."""
    model = onnx.load(case / "branch-set.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "graph.onnx")
    np.save(tmp_path / "images.npy", random_images(3, (3, 11, 10)))
    ours = our_outputs(tmp_path / "graph.onnx", tmp_path / "images.npy", tmp_path)
    assert relative_error(ours, our_outputs(case / "branch-set.onnx", tmp_path / "images.npy", tmp_path)) \
        <= FORMS_RELATIVE


# ---- whole models

@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resnet")
    onnx.save(make_resnet(depth=18, form="cifar", bn="kept", opset=13, width=0.25, input_size=(32, 32)),
              folder / "plain.onnx")
    return folder


def unoptimised_outputs(path, images):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def convs_of(path, form):
    return [a["conv"] for a in json.loads(metadata(onnx.load(path))["lorac.adapters"]) if a["form"] == form]


@pytest.mark.parametrize("options", [["--form", "branch"], ["--branch-layers", "layer2|layer4"]])
def test_whole_model(resnet, tmp_path, options):
    plain = resnet / "plain.onnx"
    good("inject", plain, "-o", tmp_path / "weight.onnx")
    report = good("inject", plain, "-o", tmp_path / "branch.onnx", *options).stdout
    branches, weights = convs_of(tmp_path / "branch.onnx", "branch"), convs_of(tmp_path / "branch.onnx", "weight")
    assert branches and (weights == []) == (options[0] == "--form")
    assert f"\n{len(branches)} of " in report and "adapters are branches\n" in report
    onnx.checker.check_model(str(tmp_path / "branch.onnx"), full_check=True)
    images = random_images(4, (3, 32, 32))
    assert np.array_equal(unoptimised_outputs(tmp_path / "branch.onnx", images), unoptimised_outputs(plain, images))
    # onnxruntime multiplies a BatchNorm into the convolution before it, which it cannot where a branch is between.
    assert relative_error(onnxruntime_outputs(tmp_path / "branch.onnx", images),
                          onnxruntime_outputs(plain, images)) <= FORMS_RELATIVE
    good("merge", tmp_path / "branch.onnx", "-o", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == plain.read_bytes()
    for form in ("weight", "branch"):
        set_adapters(tmp_path / f"{form}.onnx", tmp_path / f"{form}-set.onnx")
    expected = onnxruntime_outputs(tmp_path / "weight-set.onnx", images)
    assert relative_error(onnxruntime_outputs(tmp_path / "branch-set.onnx", images), expected) <= FORMS_RELATIVE
    np.save(tmp_path / "images.npy", images)
    good("compare", tmp_path / "weight-set.onnx", tmp_path / "branch-set.onnx", "--data", tmp_path / "images.npy")


def test_inspect_tells_the_form(resnet, tmp_path):
    plain = json.loads(good("inspect", resnet / "plain.onnx", "--json", "--branch-layers", "layer2").stdout)
    good("inject", resnet / "plain.onnx", "-o", tmp_path / "branch.onnx", "--branch-layers", "layer2")
    result = good("inspect", tmp_path / "branch.onnx", "--json").stdout
    injected = json.loads(result)
    assert injected["convolutions"] == [dict(row, reason=other["reason"]) for row, other in
                                        zip(plain["convolutions"], injected["convolutions"])]
    assert injected["trainable"] == plain["trainable"] and injected["parameters"] == plain["parameters"]
    assert injected["refused"] == []
    for row in injected["convolutions"]:
        assert row["form"] == ("branch" if "layer2" in row["name"] else "weight" if row["adapted"] else None)
    assert " (branch)" in good("inspect", tmp_path / "branch.onnx").stdout


@pytest.mark.parametrize("name", ["1x1", "3x3-indivisible", "3x3-groups", "3x3-opset7"])
def test_float16(tmp_path, name):
    """A, B and the scale stay float32, with one Cast each; all else is float16 as before."""
    model = conv_model(CASES[name])
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, tmp_path / "plain.onnx")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "branch.onnx", "--form", "branch")
    onnx.checker.check_model(str(tmp_path / "branch.onnx"), full_check=True)
    branch = onnx.load(tmp_path / "branch.onnx")
    casts = [node for node in branch.graph.node if node.op_type == "Cast"]
    assert [node.input[0] for node in casts] == ["conv/lora_A", "conv/lora_B", "conv/lora_scale"]
    assert all(initializers(branch)[node.input[0]].data_type == TensorProto.FLOAT for node in casts)
    images = random_images(3, (3, 11, 10)).astype(np.float16)
    plain = onnxruntime_outputs(tmp_path / "plain.onnx", images)
    assert np.array_equal(onnxruntime_outputs(tmp_path / "branch.onnx", images), plain)
    good("merge", tmp_path / "branch.onnx", "-o", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()
    set_adapters(tmp_path / "branch.onnx", tmp_path / "set.onnx")
    good("merge", tmp_path / "set.onnx", "-o", tmp_path / "merged.onnx", "--no-check")
    expected = onnxruntime_outputs(tmp_path / "set.onnx", images)
    assert relative_error(expected, plain) > 0.01, "the adapters say nothing"
    assert relative_error(onnxruntime_outputs(tmp_path / "merged.onnx", images), expected) <= FLOAT16_RELATIVE


def test_an_output_of_the_model_has_no_branch(tmp_path):
    model = conv_model(CASES["3x3"])
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 11, 10]))
    onnx.save(model, tmp_path / "plain.onnx")
    report = good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "out.onnx", "--form", "branch").stdout
    assert "its output is an output of the model, which must keep its name: use form weight" in report
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "out.onnx")
    assert convs_of(tmp_path / "out.onnx", "weight") == ["conv"]


def test_users_in_subgraphs_see_the_sum(tmp_path):
    """An If whose branches read the convolution's output, one of them two levels down."""
    model = conv_model(CASES["3x3"])

    def body(name, nodes, output):
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        return helper.make_graph(nodes, name, [], [value])

    inner = [body("deep", [helper.make_node("Neg", ["y"], ["deep.y"])], "deep.y"),
             body("other", [helper.make_node("Identity", ["y"], ["other.y"])], "other.y")]
    then = body("then", [helper.make_node("If", ["yes"], ["then.y"], then_branch=inner[0], else_branch=inner[1])],
                "then.y")
    otherwise = body("else", [helper.make_node("Abs", ["y"], ["else.y"])], "else.y")
    model.graph.node.insert(3, helper.make_node("If", ["yes"], ["picked"], name="if", then_branch=then,
                                                else_branch=otherwise))
    model.graph.node[4].input[1] = "picked"
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    onnx.save(model, tmp_path / "plain.onnx")
    images = random_images(2, (3, 11, 10))
    for form in ("weight", "branch"):
        good("inject", tmp_path / "plain.onnx", "-o", tmp_path / f"{form}.onnx", "--form", form)
        set_adapters(tmp_path / f"{form}.onnx", tmp_path / f"{form}-set.onnx")
    onnx.checker.check_model(str(tmp_path / "branch.onnx"), full_check=True)
    expected = onnxruntime_outputs(tmp_path / "weight-set.onnx", images)
    assert relative_error(onnxruntime_outputs(tmp_path / "branch-set.onnx", images), expected) <= FORMS_RELATIVE
    good("merge", tmp_path / "branch.onnx", "-o", tmp_path / "again.onnx", "--no-check")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


def test_a_shared_weight(tmp_path):
    """Two convolutions with one weight: one gets a branch, one the weight form, and merging parts them."""
    model = conv_model(CASES["3x3"])
    model.graph.node.insert(3, helper.make_node("Conv", ["stem.y", "conv.w"], ["z"], name="twin", pads=[1] * 4))
    model.graph.node[4].input[0] = "z"
    onnx.save(model, tmp_path / "plain.onnx")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "mixed.onnx", "--branch-layers", "twin")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "weight.onnx")
    for name in ("mixed", "weight"):
        set_adapters(tmp_path / f"{name}.onnx", tmp_path / f"{name}-set.onnx")
        good("merge", tmp_path / f"{name}-set.onnx", "-o", tmp_path / f"{name}-merged.onnx")
    images = random_images(2, (3, 11, 10))
    expected = onnxruntime_outputs(tmp_path / "weight-set.onnx", images)
    for name in ("mixed-set", "mixed-merged"):
        assert relative_error(onnxruntime_outputs(tmp_path / f"{name}.onnx", images), expected) <= FORMS_RELATIVE
    assert (tmp_path / "mixed-merged.onnx").read_bytes() == (tmp_path / "weight-merged.onnx").read_bytes()
    good("merge", tmp_path / "mixed.onnx", "-o", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


def test_a_damaged_branch_is_refused_by_name(tmp_path):
    onnx.save(conv_model(CASES["3x3-indivisible"]), tmp_path / "plain.onnx")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "branch.onnx", "--form", "branch")
    model = onnx.load(tmp_path / "branch.onnx")
    pads = initializers(model)["conv/lora_pads_1"]
    pads.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(pads) + np.array([0, 1, 0, -1]), pads.name))
    onnx.save(model, tmp_path / "damaged.onnx")
    np.save(tmp_path / "images.npy", random_images(2, (3, 11, 10)))
    for command in (["merge", "-o", tmp_path / "out.onnx"], ["eval", "--data", tmp_path / "images.npy"], ["inspect"]):
        result = run(command[0], tmp_path / "damaged.onnx", *command[1:])
        assert result.returncode == 1 and "adapter of 'conv'" in result.stderr and "lora_pads_1" in result.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_options(tmp_path, resnet):
    plain = resnet / "plain.onnx"
    for options, message in [
        (["--form", "other"], "--form"),
        (["--form", "branch", "--branch-layers", "x"], "give one of them"),
        (["--train-all", "--form", "branch"], "--form has no effect"),
        (["--branch-layers", "("], "--branch-layers '(' is not a POSIX extended regular expression"),
    ]:
        result = run("inject", plain, "-o", tmp_path / "out.onnx", *options)
        assert result.returncode == 2 and message in result.stderr
    note = good("inject", plain, "-o", tmp_path / "out.onnx", "--branch-layers", "nothing").stderr
    assert "--branch-layers 'nothing' matches no convolution" in note
